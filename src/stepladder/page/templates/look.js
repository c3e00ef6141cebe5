// The receptive field of a chosen layer, and what a trained network makes of a chosen image (computed by network.js).
const TILES = 10; // maps beside one another

for (const view of document.querySelectorAll("details.network")) {
  const reach = view.querySelector(".reach");
  if (reach) frame(reach);
  const through = view.querySelector(".through");
  if (through) lookAt(through);
}

function frame(reach) {
  const select = reach.querySelector("select");
  select.parentElement.hidden = false;
  select.addEventListener("change", () => {
    const { place, size: pixels } = select.selectedOptions[0].dataset;
    const [left, top, width, height] = place.split(" ").map((each) => `${each}%`);
    Object.assign(reach.querySelector(".field").style, { left, top, width, height });
    reach.querySelector("output").textContent = pixels;
  });
}

// Nothing is computed before it comes into view.
function lookAt(through) {
  through.hidden = false;
  let network;
  let chosen;
  const buttons = [...through.querySelectorAll(".digits i")].map((image) => {
    const made = button("", image.getAttribute("aria-label"), () => show(made));
    image.replaceWith(made);
    image.removeAttribute("role");
    image.removeAttribute("aria-label");
    made.append(image);
    return made;
  });

  async function show(own) {
    chosen = own;
    buttons.forEach((each) => each.setAttribute("aria-pressed", each === own));
    network ??= readNetwork(JSON.parse(through.querySelector("script").textContent));
    const levels = await levelsOf(own.firstChild, network.input);
    if (chosen !== own) return;
    const made = values(network, levels);
    const shares = softmax(made.at(-1));
    const best = shares.indexOf(Math.max(...shares));
    through.querySelector(".answer").textContent = `${own.getAttribute("aria-label")}. Here read as ${network.classes[best]}, ${(100 * shares[best]).toFixed(1)}\u00a0%.`;
    const rows = network.operations.map((operation, place) => drawn(titleOf(operation), operation.shape, made[place]));
    through.querySelector(".maps").replaceChildren(...filters(network.operations[0]), ...rows);
  }

  new IntersectionObserver((entries, observer) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    show(buttons[0]);
  }).observe(through);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => chosen && show(chosen));
}

function readNetwork(data) {
  for (const each of data.operations) [each.weight, each.bias] = [numbers(each.weight), numbers(each.bias)];
  return data;
}

// The levels of a picture of this page, channel by channel, as they were before ink was shown on white.
async function levelsOf(element, [channels, height, width]) {
  const image = new Image();
  image.src = getComputedStyle(element).backgroundImage.slice(5, -2);
  await image.decode();
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, width, height).data;
  const ink = document.body.classList.contains("ink");
  return Uint8Array.from({ length: channels * height * width }, (_, place) => {
    const level = pixels[4 * (place % (height * width)) + Math.floor(place / (height * width))];
    return ink ? 255 - level : level;
  });
}

function titleOf({ kind, function: end, window }) {
  const taps = window && kind !== "mean" ? ` ${window[0].join(" × ")}` : "";
  const told = end === "relu" ? "ReLU" : end?.replace("_", " ");
  return kind === "function" ? told : [`${kind.replace("_", " ")}${taps}`, ...(told ? [told] : [])].join(", ");
}

// The weights of a first convolution on grey or colour levels, each filter by itself: positive and negative apart, or in its colours.
function filters({ kind, weight, window, shape, before, groups }) {
  if (kind !== "conv" || groups !== 1 || ![1, 3].includes(before[0])) return [];
  const [down, along] = window[0];
  if (down * along === 1) return [];
  const each = before[0] * down * along;
  const scaled = Float32Array.from(weight, (value, place) => {
    const start = place - (place % each);
    return value / Math.max(1e-12, ...weight.subarray(start, start + each).map(Math.abs));
  });
  const title = "filters of the first layer";
  return [before[0] === 1 ? drawn(title, [shape[0], down, along], scaled) : colourful(title, [shape[0], down, along], scaled)];
}

// A row of maps: what is positive in one colour, what is negative in another, as deep as its share of the largest.
function drawn(title, shape, values) {
  const [channels, height, width] = shape.length === 3 ? shape : [shape[0], 1, 1];
  const [ground, up, down] = ["--faint", "--test", "--error"].map(rgb);
  const most = values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-12);
  return painted(title, channels, height, width, (channel, place) => {
    const value = values[channel * height * width + place] / most;
    const end = value > 0 ? up : down;
    return ground.map((from, part) => from + (end[part] - from) * Math.abs(value));
  });
}

function colourful(title, [channels, height, width], values) {
  return painted(title, channels, height, width, (channel, place) =>
    [0, 1, 2].map((part) => 127.5 + 127.5 * values[(channel * 3 + part) * height * width + place]),
  );
}

function painted(title, channels, height, width, color) {
  const flat = height * width === 1;
  const columns = Math.min(channels, flat ? 2 * TILES : TILES);
  const gap = flat || width < 6 ? 0.25 : 1;
  const unit = gap < 1 ? 4 : 1; // pixels of the canvas for one of the map, so that gaps are thin between small ones
  const [stepX, stepY] = [unit * width + 1, unit * height + 1];
  const canvas = Object.assign(document.createElement("canvas"), { width: columns * stepX - 1, height: Math.ceil(channels / columns) * stepY - 1 });
  const context = canvas.getContext("2d");
  for (let channel = 0; channel < channels; channel++) {
    for (let place = 0; place < height * width; place++) {
      context.fillStyle = `rgb(${color(channel, place).join(" ")})`;
      const [x, y] = [(channel % columns) * stepX + unit * (place % width), Math.floor(channel / columns) * stepY + unit * Math.floor(place / width)];
      context.fillRect(x, y, unit, unit);
    }
  }
  canvas.style.width = `${columns * (flat ? 1.15 : 2.3)}rem`;
  canvas.setAttribute("role", "img");
  const size = flat ? `${channels}` : `${channels} × ${height} × ${width}`;
  canvas.setAttribute("aria-label", `${title}: ${size}`);
  const row = document.createElement("div");
  const said = Object.assign(document.createElement("p"), { className: "key", textContent: `${title}: ${size}` });
  row.append(said, canvas);
  return row;
}

// A colour of the page as red, green and blue.
function rgb(variable) {
  const context = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d");
  context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(variable);
  context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data.slice(0, 3)];
}
