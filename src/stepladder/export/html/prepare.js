// What was drawn, made ready as the training images were. Planes are { height, width, levels }, levels row by row from 0 to 255.

// Stretched to a size by linear interpolation, over as many pixels as one becomes: no aliasing.
function resize(plane, height, width) {
  const lines = stretch(plane.levels, [1, plane.width, plane.height], width);
  return { height, width, levels: stretch(lines, [width, plane.height, 1], height) };
}

// One axis of levels made `after` long, of which there are `apart` others in a row, `before` along it, and `times` such blocks.
function stretch(levels, [apart, before, times], after) {
  const made = new Float32Array(apart * after * times);
  weights(before, after).forEach(({ first, shares }, place) => {
    for (let block = 0; block < times; block++) {
      for (let other = 0; other < apart; other++) {
        let sum = 0;
        for (let k = 0; k < shares.length; k++) sum += shares[k] * levels[(block * before + first + k) * apart + other];
        made[(block * after + place) * apart + other] = sum;
      }
    }
  });
  return made;
}

// Of each new pixel: the first old one it is made of, and the shares of that one and those after it (a triangle of sum 1).
function weights(before, after) {
  const scale = before / after;
  const reach = Math.max(scale, 1);
  return Array.from({ length: after }, (_, place) => {
    const centre = (place + 0.5) * scale;
    const first = Math.max(0, Math.floor(centre - reach));
    const end = Math.min(before, Math.ceil(centre + reach));
    const raw = Array.from({ length: end - first }, (_, k) => Math.max(0, 1 - Math.abs(first + k + 0.5 - centre) / reach));
    const sum = raw.reduce((one, other) => one + other);
    return { first, shares: raw.map((share) => share / sum) };
  });
}

// The smallest box { top, left, height, width } with all the ink of a plane in it; null where there is none.
function inkBox({ height, width, levels }) {
  let [top, left, bottom, right] = [height, width, -1, -1];
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      if (levels[row * width + column] < 32) continue;
      [top, bottom] = [Math.min(top, row), row];
      [left, right] = [Math.min(left, column), Math.max(right, column)];
    }
  }
  return bottom < 0 ? null : { top, left, height: bottom - top + 1, width: right - left + 1 };
}

function crop(plane, { top, left, height, width }) {
  const levels = new Float32Array(height * width);
  for (let row = 0; row < height; row++) {
    const start = (top + row) * plane.width + left;
    levels.set(plane.levels.subarray(start, start + width), row * width);
  }
  return { height, width, levels };
}

// The row and column about which the ink of a plane is balanced, 0 at its upper left edge.
function centreOfMass({ height, width, levels }) {
  let [mass, down, along] = [0, 0, 0];
  for (let row = 0, place = 0; row < height; row++) {
    for (let column = 0; column < width; column++, place++) {
      mass += levels[place];
      down += levels[place] * (row + 0.5);
      along += levels[place] * (column + 0.5);
    }
  }
  return [down / mass, along / mass];
}

// What was drawn as the network sees it, with what led there: the ink's box scaled so that its longer side is `placing.box`, and
// put where its centre of mass (or its box's middle) is the image's `placing.centre` (for MNIST: LeCun et al. 1998). null without ink.
function placed(drawing, placing, [, height, width]) {
  const box = inkBox(drawing);
  if (!box) return null;
  const scale = placing.box / Math.max(box.height, box.width);
  const sides = [box.height, box.width].map((side) => Math.max(1, Math.round(side * scale)));
  const scaled = resize(crop(drawing, box), ...sides);
  const middle = placing.by === "mass" ? centreOfMass(scaled) : sides.map((side) => side / 2);
  const [top, left] = middle.map((own, axis) => Math.round(placing.centre[axis] - own));
  const levels = new Uint8Array(height * width);
  for (let row = 0; row < sides[0]; row++) {
    for (let column = 0; column < sides[1]; column++) {
      const [y, x] = [top + row, left + column];
      if (y < 0 || x < 0 || y >= height || x >= width) continue;
      levels[y * width + x] = Math.round(scaled.levels[row * sides[1] + column]);
    }
  }
  return { box, scaled, levels };
}

// The planes of a picture's pixels (r, g, b, a, of each), on white: one of grey (ITU-R 601 luma) or three of colour.
function planes({ data, height, width }, channels) {
  const shares = channels === 1 ? [[0.299, 0.587, 0.114]] : [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
  return shares.map(([red, green, blue]) => {
    const levels = new Float32Array(height * width);
    for (let place = 0, own = 0; place < levels.length; place++, own += 4) {
      const level = red * data[own] + green * data[own + 1] + blue * data[own + 2];
      levels[place] = 255 + ((level - 255) * data[own + 3]) / 255;
    }
    return { height, width, levels };
  });
}

// A grey picture of writing as ink on black: what differs from the middle level of its border, the faintest third taken off.
function inkOf(plane) {
  const { height, width, levels } = plane;
  const border = levels.filter((_, place) => {
    const [row, column] = [Math.floor(place / width), place % width];
    return row === 0 || column === 0 || row === height - 1 || column === width - 1;
  });
  const paper = border.sort()[border.length >> 1];
  const ink = levels.map((level) => Math.abs(level - paper));
  const most = Math.max(1, ink.reduce((one, other) => Math.max(one, other)));
  return { height, width, levels: ink.map((level) => Math.max(0, 1.5 * (level / most) - 0.5) * 255) };
}
