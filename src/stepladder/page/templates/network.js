// A network as operations on one image, in the order channel, row, column; the table of them is in inference/operation.py.

// The numbers of an array written as base64: float32, or whole numbers of eight bits with a scale for each first index.
function numbers(written) {
  if (!written) return null;
  const bytes = Uint8Array.from(atob(written.data), (letter) => letter.charCodeAt(0));
  if (!written.scale) return new Float32Array(bytes.buffer);
  const whole = new Int8Array(bytes.buffer);
  const scale = numbers(written.scale);
  const each = whole.length / scale.length;
  return Float32Array.from(whole, (value, place) => value * scale[Math.floor(place / each)]);
}

// What each operation makes of an image's levels, 0 to 255; the last makes the class scores.
function values(network, levels) {
  const made = [];
  const image = normalised(network, levels);
  for (const operation of network.operations) {
    const [source, x] = [operation.inputs[0], operation.inputs.at(-1)].map((own) => (own < 0 ? image : made[own]));
    const out = new Float32Array(size(operation.shape));
    OPERATIONS[operation.kind](operation, out, x, source);
    if (operation.function) apply(operation, out);
    made.push(out);
  }
  return made;
}

function normalised(network, levels) {
  const each = levels.length / network.mean.length;
  return Float32Array.from(levels, (level, place) => {
    const channel = Math.floor(place / each);
    return (level / 255 - network.mean[channel]) / network.std[channel];
  });
}

const OPERATIONS = {
  conv: convolve,
  linear({ weight, bias }, out, x) {
    for (let feature = 0, place = 0; feature < out.length; feature++) {
      let sum = bias[feature];
      for (let own = 0; own < x.length; own++) sum += weight[place++] * x[own];
      out[feature] = sum;
    }
  },
  max_pool: pool,
  avg_pool: pool,
  mean(operation, out, x) {
    const each = x.length / out.length;
    for (let channel = 0; channel < out.length; channel++) {
      let sum = 0;
      for (let place = 0; place < each; place++) sum += x[channel * each + place];
      out[channel] = sum / each;
    }
  },
  add(operation, out, x, source) {
    for (let place = 0; place < out.length; place++) out[place] = source[place] + x[place];
  },
  multiply(operation, out, x, source) {
    const each = out.length / x.length;
    for (let place = 0; place < out.length; place++) out[place] = source[place] * x[Math.floor(place / each)];
  },
  scale(operation, out, x, source) {
    OPERATIONS.multiply(operation, out, x.map(sigmoid), source);
  },
  concat(operation, out, x, source) {
    out.set(source);
    out.set(x, source.length);
  },
  affine({ weight, bias }, out, x) {
    const each = out.length / weight.length;
    for (let place = 0; place < out.length; place++) {
      const own = Math.floor(place / each);
      out[place] = x[place] * weight[own] + bias[own];
    }
  },
  group_norm(operation, out, x) {
    const each = x.length / operation.groups;
    for (let start = 0; start < x.length; start += each) {
      const group = x.subarray(start, start + each);
      const mean = group.reduce((sum, value) => sum + value, 0) / each;
      const variance = group.reduce((sum, value) => sum + (value - mean) ** 2, 0) / each;
      const deviation = Math.sqrt(variance + operation.parameter);
      for (let place = 0; place < each; place++) out[start + place] = (group[place] - mean) / deviation;
    }
    OPERATIONS.affine(operation, out, out);
  },
  function(operation, out, x) {
    out.set(x);
  },
};

// Row by row, each tap over all the places along it that see no padding.
function convolve({ before, shape, weight, bias, groups, window }, out, x) {
  const [inputs, height, width] = before;
  const [channels, rows, columns] = shape;
  const [[down, along], [stepDown, step], [padDown, pad], [apartDown, apart]] = window;
  const share = inputs / groups;
  for (let channel = 0, tap = 0; channel < channels; channel++) {
    const first = channel * rows * columns;
    out.fill(bias[channel], first, first + rows * columns);
    const group = Math.floor((channel * groups) / channels) * share;
    for (let input = group; input < group + share; input++) {
      for (let i = 0; i < down; i++) {
        const [top, bottom] = inside(i * apartDown - padDown, stepDown, height, rows);
        for (let j = 0; j < along; j++, tap++) {
          const [left, right] = inside(j * apart - pad, step, width, columns);
          const factor = weight[tap];
          for (let row = top; row < bottom; row++) {
            const line = (input * height + row * stepDown + i * apartDown - padDown) * width + j * apart - pad;
            const place = first + row * columns;
            for (let column = left; column < right; column++) out[place + column] += factor * x[line + column * step];
          }
        }
      }
    }
  }
}

// The first place, and the one after the last, at which a tap so far from the window's corner lies on the image.
function inside(offset, step, side, places) {
  return [Math.max(0, Math.ceil(-offset / step)), Math.min(places, Math.floor((side - 1 - offset) / step) + 1)];
}

// The maximum sees no padding, the mean counts its zeros.
function pool({ kind, before, shape, window }, out, x) {
  const [, height, width] = before;
  const [channels, rows, columns] = shape;
  const [[down, along], [stepDown, step], [padDown, pad]] = window;
  for (let channel = 0, place = 0; channel < channels; channel++) {
    for (let row = 0; row < rows; row++) {
      const top = row * stepDown - padDown;
      for (let column = 0; column < columns; column++, place++) {
        const left = column * step - pad;
        let [most, sum] = [-Infinity, 0];
        for (let i = Math.max(0, top); i < Math.min(height, top + down); i++) {
          for (let j = Math.max(0, left); j < Math.min(width, left + along); j++) {
            const value = x[(channel * height + i) * width + j];
            if (value > most) most = value;
            sum += value;
          }
        }
        out[place] = kind === "max_pool" ? most : sum / (down * along);
      }
    }
  }
}

const FUNCTIONS = {
  relu: (x) => (x > 0 ? x : 0),
  leaky_relu: (x, slope) => (x > 0 ? x : slope * x),
  prelu: (x, slope) => (x > 0 ? x : slope * x),
  relu6: (x) => Math.min(Math.max(x, 0), 6),
  elu: (x, alpha) => (x > 0 ? x : alpha * Math.expm1(x)),
  silu: (x) => x * sigmoid(x),
  hard_swish: (x) => (x * Math.min(Math.max(x + 3, 0), 6)) / 6,
  gelu: (x) => (x / 2) * (1 + erf(x / Math.SQRT2)),
  tanh: Math.tanh,
  sigmoid,
};

function apply(operation, out) {
  const of = FUNCTIONS[operation.function];
  const slopes = operation.function === "prelu" ? operation.weight : [operation.parameter];
  const each = out.length / slopes.length;
  for (let place = 0; place < out.length; place++) out[place] = of(out[place], slopes[Math.floor(place / each)]);
}

function sigmoid(x) {
  return 1 / (1 + Math.exp(-x));
}

// The error function by its series at 0 (Abramowitz and Stegun 7.1.6), all of whose terms have one sign.
function erf(x) {
  if (Math.abs(x) > 5) return Math.sign(x);
  let [term, sum] = [x, x];
  for (let n = 1; Math.abs(term) > 1e-12 * Math.abs(sum); n++) sum += term *= (2 * x * x) / (2 * n + 1);
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

function softmax(scores) {
  const most = Math.max(...scores);
  const powers = Array.from(scores, (score) => Math.exp(score - most));
  const sum = powers.reduce((one, other) => one + other);
  return powers.map((power) => power / sum);
}

function size(shape) {
  return shape.reduce((one, other) => one * other);
}
