// Buttons that save a figure as SVG or PNG, or copy a table as CSV: made here, so that without a script there are none in vain.

const ENLARGED = 3; // so many pixels of a PNG stand for one unit of the drawing
const ROOM = 24; // of a saved figure, for what stands above it

function button(text, label, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.setAttribute("aria-label", label);
  made.addEventListener("click", () => act(made));
  return made;
}

// The colours that the page has now, in the place of its variables.
function coloured(text) {
  const style = getComputedStyle(document.documentElement);
  return text.replace(/var\((--[\w-]+)\)/g, (whole, name) => style.getPropertyValue(name).trim() || whole);
}

// A drawing that stands alone: with its size, its font, a ground, and what it shows above it.
function alone(svg, heading, keys) {
  const [left, top, width, height] = svg.getAttribute("viewBox").split(/\s+/).map(Number);
  const copy = svg.cloneNode(true);
  copy.removeAttribute("class");
  const spans = keys.map(([name, color]) => `<tspan dx="8" fill="${color}">${escaped(name)}</tspan>`).join("");
  const text = `<text x="${left + 6}" y="${top - 8}" font-size="10" fill="var(--ink)">${escaped(heading)}${spans}</text>`;
  const box = `x="${left}" y="${top - ROOM}" width="${width}" height="${height + ROOM}"`;
  return coloured(
    `<svg xmlns="${svg.namespaceURI}" viewBox="${left} ${top - ROOM} ${width} ${height + ROOM}" width="${width}"` +
      ` height="${height + ROOM}" font-family="system-ui, sans-serif"><rect ${box} fill="var(--page)"/>${text}${copy.innerHTML}</svg>`,
  );
}

function escaped(text) {
  return text.replace(/[&<>"]/g, (letter) => `&#${letter.charCodeAt(0)};`);
}

function save(address, name) {
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
}

async function picture(drawing) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(drawing)}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = ENLARGED * image.width;
  canvas.height = ENLARGED * image.height;
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/png");
}

for (const figure of document.querySelectorAll("figure[data-name]")) {
  const svg = () => figure.querySelector("svg[viewBox]");
  const name = figure.dataset.name;
  const keys = () => [...figure.querySelectorAll("[data-key]")].map(({ dataset }) => [dataset.key, dataset.color]);
  const drawing = () => alone(svg(), name, keys());
  const file = name.replace(/[^\w]+/g, "-").toLowerCase();
  const tools = document.createElement("span");
  tools.className = "take";
  tools.append(
    button("SVG", `Save as SVG: ${name}`, () => save(`data:image/svg+xml;charset=utf-8,${encodeURIComponent(drawing())}`, `${file}.svg`)),
    button("PNG", `Save as PNG: ${name}`, async () => save(await picture(drawing()), `${file}.png`)),
  );
  figure.querySelector("figcaption").append(tools);
}

// A table as CSV (RFC 4180): figures without thousands separators, with a plain minus sign; a cell over several columns once.
function csv(table) {
  const rows = [...table.rows].filter((row) => !row.matches("[aria-hidden]"));
  return rows.map((row) => [...row.cells].flatMap(fields).map(quoted).join(",")).join("\r\n") + "\r\n";
}

function fields(cell) {
  const text = (cell.matches("[aria-hidden]") ? "" : cell.textContent).replace(/\s+/g, " ").trim();
  const plain = text.replace(/\u2212/g, "-").replace(/(\d),(?=\d{3}\b)/g, "$1");
  return [plain, ...Array(cell.colSpan - 1).fill("")];
}

function quoted(text) {
  return /[",]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // A page that is no secure context, or may not write: by a selection, as browsers have always done.
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

for (const table of document.querySelectorAll("table[data-name]")) {
  const tools = document.createElement("p");
  tools.className = "take";
  const label = `Copy as CSV: ${table.dataset.name}`;
  const said = document.createElement("span");
  said.setAttribute("role", "status");
  tools.append(
    button("Copy as CSV", label, async () => {
      await copy(csv(table));
      said.textContent = "copied";
      setTimeout(() => (said.textContent = ""), 2000);
    }),
    said,
  );
  (table.closest(".scroll") ?? table).after(tools);
}
