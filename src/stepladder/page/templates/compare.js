// Any two steps beside one another: how far they are apart over the seeds they share, their curves, and which images turned.
const comparing = document.querySelector("#compare");
if (comparing) compare(JSON.parse(document.querySelector("#comparison").textContent));

function compare({ steps, labels, reach }) {
  const [step, against] = comparing.querySelectorAll("select");
  const rules = new Set([...document.styleSheets].flatMap((sheet) => [...sheet.cssRules].map((rule) => rule.selectorText)));
  const has = (index) => rules.has(`.p${index}`);

  function show() {
    const [one, other] = [steps[step.value], steps[against.value]];
    comparing.querySelector(".difference").textContent = difference(one, other, reach);
    const drawing = curves(one.curve, other.curve);
    comparing.querySelector(".drawn").innerHTML = drawing;
    comparing.querySelectorAll("figcaption .line").forEach((line, place) => {
      line.dataset.key = line.querySelector("b").textContent = [one, other][place].id;
    });
    const [fixed, broken] = [turned(other, one), turned(one, other)];
    comparing.querySelectorAll(".turned").forEach((side, place) => {
      const images = [fixed, broken][place];
      const clear = images.filter(has).slice(0, 12);
      const which = place ? `${other.id} right, ${one.id} wrong` : `${one.id} right, ${other.id} wrong`;
      const some = clear.length < images.length ? `, ${clear.length} of them shown` : "";
      side.querySelector("h4").textContent = `${which}: ${images.length} image${images.length === 1 ? "" : "s"}${some}`;
      side.querySelector("ul").replaceChildren(...clear.map((index) => item(index, labels[index], one, other)));
    });
  }

  step.addEventListener("change", show);
  against.addEventListener("change", show);
  comparing.hidden = false;
  show();
}

// In points, with its 95 % interval (Student's t) over the pairs of seeds.
function difference(one, other, reach) {
  const seeds = Object.keys(one.last).filter((seed) => seed in other.last);
  const size = `${one.parameters.toLocaleString("en")} against ${other.parameters.toLocaleString("en")} parameters, ` +
    `${one.macs.toLocaleString("en")} against ${other.macs.toLocaleString("en")} multiply-adds an image.`;
  if (one === other) return "The same step twice.";
  if (!seeds.length) return `No seed in common. ${size}`;
  const apart = seeds.map((seed) => 100 * (one.last[seed] - other.last[seed]));
  const mean = apart.reduce((sum, each) => sum + each) / apart.length;
  const spread = Math.sqrt(apart.reduce((sum, each) => sum + (each - mean) ** 2, 0) / (apart.length - 1));
  const half = (reach[apart.length] * spread) / Math.sqrt(apart.length);
  const interval = half > 1e-7 ? ` (95\u00a0% interval ${points(mean - half)} to ${points(mean + half)})` : "";
  const won = apart.filter((each) => each > 1e-7).length;
  const pairs = apart.length === 1 ? "one pair of runs" : `${apart.length} pairs of runs, of which ${one.id} won ${won}`;
  return `${one.id} is ${points(mean)}\u00a0points from ${other.id} in test accuracy${interval}, over ${pairs}; ${size}`;
}

function points(value) {
  return (Math.abs(value) < 0.005 ? "0.00" : (value > 0 ? "+" : "\u2212") + Math.abs(value).toFixed(2));
}

// The images that most seeds of the first step missed and most of the second did not, the clearest first.
function turned(first, second) {
  const [before, after] = [first, second].map((step) => new Map(step.missed.map(([index, by]) => [index, by / step.n])));
  const gain = (index) => before.get(index) - (after.get(index) ?? 0);
  return [...before.keys()]
    .filter((index) => before.get(index) > 0.5 && (after.get(index) ?? 0) < 0.5)
    .sort((a, b) => gain(b) - gain(a) || a - b);
}

function item(index, label, one, other) {
  const made = document.createElement("li");
  const picture = document.createElement("i");
  picture.className = `pic p${index}`;
  picture.setAttribute("role", "img");
  picture.setAttribute("aria-label", `test image ${index}: ${label}`);
  const by = (step) => step.missed.find(([own]) => own === index)?.[1] ?? 0;
  const texts = [["span", label], ["small", `#${index}`], ["small", one.n === other.n ? `${by(one)} and ${by(other)} of ${one.n}` : `${by(one)} of ${one.n}, ${by(other)} of ${other.n}`]];
  made.append(picture, ...texts.map(([kind, text]) => Object.assign(document.createElement(kind), { textContent: text })));
  return made;
}

// Two curves of accuracies by epoch, by their error on a logarithmic axis as all curves of the page.
function curves(one, other) {
  const [width, height, left, bottom] = [345, 196, 42, 168];
  const error = (value) => Math.log(Math.max(1 - value, 1e-4));
  const errors = [...one, ...other].map(error);
  const [low, high] = [Math.min(...errors) - 0.05, Math.max(...errors) + 0.05];
  const longest = Math.max(one.length, other.length, 2);
  const x = (epoch) => left + 6 + ((epoch - 1) / (longest - 1)) * (width - left - 12);
  const y = (logged) => 6 + ((logged - low) / (high - low)) * (bottom - 6);
  const line = (curve, color, thick) =>
    `<path d="M${curve.map((value, place) => `${x(place + 1).toFixed(1)} ${y(error(value)).toFixed(1)}`).join("L")}" ` +
    `style="fill: none; stroke: var(${color}); stroke-width: ${thick}"/>`;
  const text = (at, down, anchor, said) =>
    `<text x="${at}" y="${down}" style="font-size: 9px; text-anchor: ${anchor}; fill: var(--muted)">${said}</text>`;
  const ticks = [0, 50, 80, 90, 95, 97, 98, 99, 99.5, 99.8, 99.9, 99.95].filter((tick) => error(tick / 100) > low && error(tick / 100) < high);
  const grid = ticks.map((tick) => {
    const down = y(error(tick / 100)).toFixed(1);
    return `<path d="M${left} ${down}H${width}" style="stroke: var(--line); stroke-width: .8"/>` + text(left - 4, Number(down) + 3, "end", `${tick} %`);
  });
  const every = Math.ceil(longest / 8);
  const epochs = Array.from({ length: longest }, (_, place) => place + 1).filter((epoch) => epoch % every === 0);
  const below = epochs.map((epoch) => text(x(epoch).toFixed(1), bottom + 11, "middle", epoch)).join("");
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="Test accuracy of both by epoch">${grid.join("")}` +
    `<path d="M${left} ${bottom}H${width}" style="stroke: var(--muted); stroke-width: .8"/>${below}${text(width / 2, height - 2, "middle", "epoch")}` +
    `${line(other, "--muted", 1.6)}${line(one, "--test", 2.2)}</svg>`;
}
