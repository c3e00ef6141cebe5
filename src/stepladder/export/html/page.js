// The page: what is drawn is made ready, answered by every network, and shown with what each layer of the chosen one makes of it.

const { networks, placing } = JSON.parse(document.getElementById("data").textContent);
for (const { operations } of networks) {
  for (const operation of operations) {
    [operation.weight, operation.bias] = [numbers(operation.weight), numbers(operation.bias)];
  }
}
const [channels, height, width] = networks[0].input;
const MOST_BARS = 12;
const MOST_MAPS = 64;
const PEN = 20;

const byId = (id) => document.getElementById(id);
const canvas = byId("canvas");
const drawing = canvas.getContext("2d", { willReadFrequently: true });
let chosen = 0;
let blank = true;
let asked = false;

function made(tag, text = "", properties = {}) {
  return Object.assign(document.createElement(tag), { textContent: text }, properties);
}

const sides = (shape) => shape.join(" × ");
const percent = (share) => `${(100 * share).toFixed(1)} %`;

// ---- what is given

// What is on the canvas, made ready: { levels, pictures }, of which the pictures show each step; null where it is empty.
function given() {
  if (blank) return null;
  const pixels = drawing.getImageData(0, 0, canvas.width, canvas.height);
  if (!placing) {
    const scaled = planes(pixels, channels).map((plane) => resize(plane, height, width));
    const levels = Uint8Array.from(scaled.flatMap((plane) => Array.from(plane.levels, Math.round)));
    return { levels, pictures: [{ title: `stretched to ${height} × ${width}`, planes: scaled }] };
  }
  const [plane] = planes(pixels, 1);
  const found = placed(plane, placing, networks[0].input);
  if (!found) return null;
  const { box, scaled, levels } = found;
  const where = placing.by === "mass" ? "centred by its mass" : "centred by its box";
  return {
    levels,
    pictures: [
      { title: `the box of the ink`, planes: [plane], box },
      { title: `scaled to ${scaled.height} × ${scaled.width}`, planes: [scaled] },
      { title: `${where} in ${height} × ${width}`, planes: [{ height, width, levels }] },
    ],
  };
}

function clear() {
  drawing.fillStyle = "#000";
  drawing.fillRect(0, 0, canvas.width, canvas.height);
  blank = true;
  ask();
}

function stroke([fromX, fromY], [x, y]) {
  Object.assign(drawing, { strokeStyle: "#fff", lineWidth: PEN, lineCap: "round", lineJoin: "round" });
  drawing.beginPath();
  drawing.moveTo(fromX, fromY);
  drawing.lineTo(x, y + 0.01); // a dot is drawn too
  drawing.stroke();
  blank = false;
  ask();
}

// With mouse, touch or pen.
function drawnByPointer() {
  let last = null;
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) * canvas.width) / box.width, ((event.clientY - box.top) * canvas.height) / box.height];
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button || last) return;
    canvas.setPointerCapture(event.pointerId);
    stroke((last = at(event)), last);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last || !event.isPrimary) return;
    const between = event.getCoalescedEvents?.() ?? [];
    for (const each of between.length ? between : [event]) stroke(last, (last = at(each)));
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (last = null));
}

// With arrow keys, of which the space bar lowers and lifts the pen.
function drawnByKeys() {
  const pen = byId("pen");
  const moves = { ArrowLeft: [-7, 0], ArrowRight: [7, 0], ArrowUp: [0, -7], ArrowDown: [0, 7] };
  let [place, down] = [[canvas.width / 2, canvas.height / 4], false];
  const show = () => {
    [pen.style.left, pen.style.top] = place.map((side) => `${(100 * side) / canvas.width}%`);
    pen.hidden = false;
    pen.className = down ? "down" : "";
  };
  canvas.addEventListener("keydown", (event) => {
    const { key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (key === "Delete" || key === "Backspace" || key === "Escape") [down] = [false, clear()];
    else if (key === " ") down = !down;
    else if (!(key in moves)) return;
    event.preventDefault();
    const to = place.map((side, axis) => Math.min(Math.max(side + (moves[key]?.[axis] ?? 0), 0), canvas.width));
    if (down) stroke(place, to);
    place = to;
    show();
  });
  canvas.addEventListener("blur", () => (pen.hidden = true));
}

// A picture is laid on the canvas: whole, as ink where the network knows ink, else stretched.
async function picture(file) {
  let image;
  try {
    image = await createImageBitmap(file);
  } catch {
    byId("verdict").textContent = `${file.name} is no picture that this browser can read.`;
    return;
  }
  drawing.fillStyle = "#fff";
  drawing.fillRect(0, 0, canvas.width, canvas.height);
  if (placing) {
    const scale = Math.min(canvas.width / image.width, canvas.height / image.height);
    const [wide, tall] = [image.width, image.height].map((side) => Math.max(1, Math.round(side * scale)));
    const [left, top] = [(canvas.width - wide) >> 1, (canvas.height - tall) >> 1];
    drawing.drawImage(image, left, top, wide, tall);
    const [plane] = planes(drawing.getImageData(left, top, wide, tall), 1);
    clear();
    drawing.putImageData(asPixels([inkOf(plane)]), left, top);
  } else {
    drawing.imageSmoothingQuality = "high";
    drawing.drawImage(image, 0, 0, canvas.width, canvas.height);
  }
  blank = false;
  ask();
}

function droppedPictures() {
  byId("file").addEventListener("change", ({ target }) => {
    if (target.files[0]) picture(target.files[0]);
    target.value = "";
  });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files[0]) picture(event.dataTransfer.files[0]);
  });
  addEventListener("paste", (event) => {
    if (event.clipboardData.files[0]) picture(event.clipboardData.files[0]);
  });
}

// ---- what is shown

function asPixels(planes) {
  const { height, width } = planes[0];
  const pixels = new ImageData(width, height);
  const [red, green, blue] = [0, 1, 2].map((color) => planes[color % planes.length].levels);
  for (let place = 0, own = 0; place < red.length; place++, own += 4) {
    pixels.data[own] = red[place];
    pixels.data[own + 1] = green[place];
    pixels.data[own + 2] = blue[place];
    pixels.data[own + 3] = 255;
  }
  return pixels;
}

// Answers before the next frame, however often what is drawn has changed by then.
function ask() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    answer();
  });
}

function answer() {
  const image = given();
  const begun = performance.now();
  const found = networks.map((network) => values(network, image?.levels ?? new Uint8Array(channels * height * width)));
  const took = (performance.now() - begun) / networks.length;
  const shares = found.map((each) => softmax(each.at(-1)));
  const read = shares.map((each) => each.indexOf(Math.max(...each)));
  showAnswers(image && shares, read);
  showMade(image);
  showLayers(networks[chosen], image && found[chosen]);
  byId("cost").textContent = image ? `${took.toFixed(1)} ms a network.` : "";
}

function showAnswers(shares, read) {
  const { classes } = networks[chosen];
  const ways = networks.map((network, step) => `${network.name} reads ${network.classes[read[step]]}`);
  const one = new Set(read).size === 1;
  const said = one || networks.length === 1 ? `Read as ${classes[read[chosen]]}` : `They disagree: ${ways.join(", ")}`;
  byId("verdict").textContent = shares ? said : placing ? "Nothing is drawn yet." : "No picture is chosen yet.";
  document.querySelectorAll("#switch output").forEach((output, step) => {
    output.textContent = shares ? `${networks[step].classes[read[step]]}, ${percent(shares[step][read[step]])}` : "";
    output.classList.toggle("alone", Boolean(shares) && !one);
  });
  const order = classes.map((_, place) => place);
  if (classes.length > MOST_BARS && shares) order.sort((a, b) => shares[chosen][b] - shares[chosen][a]);
  const bars = order.slice(0, MOST_BARS).map((place) => {
    const bar = made("li", "", { className: shares && place === read[chosen] ? "read" : "" });
    const share = shares ? shares[chosen][place] : 0;
    const fill = made("i");
    fill.style.setProperty("--share", share);
    bar.append(made("b", classes[place]), fill, made("span", shares ? percent(share) : ""));
    return bar;
  });
  byId("scores").replaceChildren(...bars);
}

function showMade(image) {
  const blanks = [{ height, width, levels: new Uint8Array(height * width) }];
  const figures = (image?.pictures ?? [{ title: `${height} × ${width}`, planes: blanks }]).map(({ title, planes, box }) => {
    const figure = made("figure");
    const shown = made("canvas", "", { width: planes[0].width, height: planes[0].height, ariaLabel: title, role: "img" });
    const pen = shown.getContext("2d");
    pen.putImageData(asPixels(planes), 0, 0);
    if (box) {
      Object.assign(pen, { strokeStyle: "#e2a35c", lineWidth: 3 });
      pen.strokeRect(box.left, box.top, box.width, box.height);
    }
    const most = Math.max(canvas.width * (planes[0].height / height > 2), height, width);
    shown.style.setProperty("--tall", planes[0].height / most);
    shown.style.setProperty("--wide", planes[0].width / most);
    const stage = made("div");
    stage.append(shown);
    figure.append(stage, made("figcaption", title));
    return figure;
  });
  byId("made").replaceChildren(...figures);
}

// A canvas for each operation: its maps side by side, or its features, by the layer's largest value.
function showLayers({ operations }, found) {
  const room = byId("layers").clientWidth;
  const style = getComputedStyle(document.documentElement);
  const [positive, negative, paper] = ["--test", "--train", "--faint"].map((name) => color(style.getPropertyValue(name)));
  operations.forEach((operation, number) => {
    const [figure, shown, more] = layerFigure(operation, number);
    const flat = operation.shape.length === 1;
    const [maps, tall, wide] = flat ? [operation.shape[0], 1, 1] : operation.shape;
    const count = Math.min(maps, flat ? 4 * MOST_MAPS : MOST_MAPS);
    const scale = flat ? 12 : Math.max(1, Math.min(8, Math.round(72 / wide), Math.floor(room / wide)) || 1);
    const columns = Math.max(1, Math.min(count, Math.floor((room / scale + 1) / (wide + 1))));
    [shown.width, shown.height] = [columns * (wide + 1) - 1, Math.ceil(count / columns) * (tall + 1) - 1];
    shown.style.width = `${shown.width * scale}px`;
    more.textContent = count < maps ? `, the first ${count}` : "";
    const pixels = new ImageData(shown.width, shown.height);
    const all = found?.[number] ?? new Float32Array(maps * tall * wide);
    const most = all.reduce((one, other) => Math.max(one, Math.abs(other)), 1e-9);
    for (let map = 0; map < count; map++) {
      const [top, left] = [Math.floor(map / columns) * (tall + 1), (map % columns) * (wide + 1)];
      for (let row = 0; row < tall; row++) {
        for (let column = 0; column < wide; column++) {
          const value = all[(map * tall + row) * wide + column] / most;
          const place = 4 * ((top + row) * shown.width + left + column);
          const ink = value < 0 ? negative : positive;
          for (let c = 0; c < 3; c++) pixels.data[place + c] = paper[c] + Math.abs(value) * (ink[c] - paper[c]);
          pixels.data[place + 3] = 255;
        }
      }
    }
    shown.getContext("2d").putImageData(pixels, 0, 0);
    figure.hidden = false;
  });
  [...byId("layers").children].slice(operations.length).forEach((figure) => (figure.hidden = true));
}

// The figure of an operation, made where there is none yet, its canvas, and what is said of maps that are not shown.
function layerFigure(operation, number) {
  const layers = byId("layers");
  while (layers.children.length <= number) {
    const figure = made("figure");
    figure.append(made("figcaption"), made("canvas", "", { role: "img" }));
    layers.append(figure);
  }
  const figure = layers.children[number];
  const [caption, shown] = figure.children;
  const window = operation.window ? ` ${sides(operation.window[0])}` : "";
  const end = operation.function && operation.kind !== "function" ? `, ${words(operation.function)}` : "";
  const name = words(operation.kind === "function" ? operation.function : operation.kind);
  const more = made("span");
  caption.replaceChildren(made("b", `${name}${window}${end}`), ` ${sides(operation.shape)}`, more);
  shown.ariaLabel = `What ${name} ${number + 1} makes: ${sides(operation.shape)}`;
  return [figure, shown, more];
}

const words = (name) => ({ relu: "ReLU", relu6: "ReLU6", elu: "ELU", silu: "SiLU", gelu: "GELU" })[name] ?? name.replaceAll("_", " ");

function color(text) {
  const digits = text.trim().slice(1);
  const pairs = digits.length === 3 ? [...digits].map((digit) => digit + digit) : digits.match(/../g);
  return pairs.map((pair) => parseInt(pair, 16));
}

function showCard() {
  const entries = Object.entries(networks[chosen].facts).flatMap(([name, text]) => [made("dt", name), made("dd", text)]);
  byId("card").replaceChildren(...entries);
}

function choose(step) {
  chosen = step;
  showCard();
  ask();
}

// ---- the beginning

networks.forEach(({ name, title }, step) => {
  const label = made("label");
  const input = made("input", "", { type: "radio", name: "network", value: step, checked: step === 0 });
  input.addEventListener("change", () => choose(step));
  label.append(input, made("b", name), made("span", title), made("output"));
  byId("switch").append(label);
});
byId("switch").hidden = networks.length === 1;
byId("clear").addEventListener("click", clear);
droppedPictures();
if (placing) {
  byId("asked").textContent = `Draw one of ${networks[0].classes.join(" ")}, or drop a picture of one.`;
  byId("keys").textContent = "Or with the keyboard: arrows move the pen, the space bar lowers and lifts it, Delete clears.";
  canvas.ariaLabel = "Drawing: arrows move the pen, the space bar lowers and lifts it, Delete clears";
  drawnByPointer();
  drawnByKeys();
} else {
  byId("asked").textContent = "Choose, drop or paste a picture.";
  canvas.ariaLabel = "The picture";
  canvas.removeAttribute("tabindex");
  canvas.classList.add("picture");
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", ask);
new ResizeObserver(ask).observe(byId("layers"));
clear();
showCard();
