// Pillow's resampling: filters widened by the reduction, rows before columns, 8-bit pixels in 22-bit fixed point.

const BITS = 22; // of a weight, so that the sum of 8-bit pixels fits into 32 bits
const HALF = 1 << (BITS - 1);

const sinc = (x) => x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);

function cubic(x) {
  const a = -0.5;
  const distance = Math.abs(x);
  if (distance < 1) return ((a + 2) * distance - (a + 3)) * distance * distance + 1;
  return distance < 2 ? (((distance - 5) * distance + 8) * distance - 4) * a : 0;
}

const FILTERS = {
  box: {support: 0.5, weight: (x) => x > -0.5 && x <= 0.5 ? 1 : 0},
  bilinear: {support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x))},
  bicubic: {support: 2, weight: cubic},
  lanczos: {support: 3, weight: (x) => x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0},
};

// For each output pixel of a row or column: its first input pixel, the number of input pixels, and their weights, which
// add up to 1.
function windows(from, to, interpolation) {
  const {support, weight} = FILTERS[interpolation];
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  const taps = Math.ceil(support * stretch) * 2 + 1;
  const [starts, counts, weights] = [new Int32Array(to), new Int32Array(to), new Float64Array(to * taps)];
  for (let place = 0; place < to; place++) {
    const centre = (place + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - support * stretch + 0.5));
    const count = Math.min(from, Math.trunc(centre + support * stretch + 0.5)) - start;
    let sum = 0;
    for (let tap = 0; tap < count; tap++) {
      const share = weight((tap + start - centre + 0.5) * (1 / stretch));
      weights[place * taps + tap] = share;
      sum += share;
    }
    for (let tap = 0; tap < count && sum !== 0; tap++) weights[place * taps + tap] /= sum;
    starts[place] = start;
    counts[place] = count;
  }
  return {taps, starts, counts, weights};
}

const fixed = (weights) =>
  Int32Array.from(weights, (share) => Math.trunc(share * (1 << BITS) + (share < 0 ? -0.5 : 0.5)));

// Resizes 8-bit grey pixels. Returns the same array if the size stays.
export function resize(pixels, width, height, newWidth, newHeight, interpolation) {
  let [found, across] = [pixels, width];
  if (newWidth !== width) {
    const table = windows(width, newWidth, interpolation);
    found = rows(found, width, height, newWidth, table, fixed(table.weights), new Uint8ClampedArray(newWidth * height));
    across = newWidth;
  }
  if (newHeight !== height) {
    const table = windows(height, newHeight, interpolation);
    found = columns(found, across, newHeight, table, fixed(table.weights), new Uint8ClampedArray(across * newHeight));
  }
  return new Uint8Array(found.buffer, found.byteOffset, found.length);
}

function rows(pixels, width, height, newWidth, {taps, starts, counts}, weights, made) {
  for (let row = 0; row < height; row++) {
    for (let place = 0; place < newWidth; place++) {
      const start = row * width + starts[place];
      let sum = HALF;
      for (let tap = 0; tap < counts[place]; tap++) sum += pixels[start + tap] * weights[place * taps + tap];
      made[row * newWidth + place] = sum >> BITS;
    }
  }
  return made;
}

function columns(pixels, width, newHeight, {taps, starts, counts}, weights, made) {
  const sums = new Int32Array(width);
  for (let place = 0; place < newHeight; place++) {
    sums.fill(HALF);
    for (let tap = 0; tap < counts[place]; tap++) {
      const [start, share] = [(starts[place] + tap) * width, weights[place * taps + tap]];
      for (let column = 0; column < width; column++) sums[column] += pixels[start + column] * share;
    }
    for (let column = 0; column < width; column++) made[place * width + column] = sums[column] >> BITS;
  }
  return made;
}

// Resizes a float32 map bilinearly. Pillow sums in float64 and stores float32 between its two passes.
export function resizeFloats(values, width, height, newWidth, newHeight) {
  let [found, across] = [values, width];
  if (newWidth !== width) {
    const {taps, starts, counts, weights} = windows(width, newWidth, "bilinear");
    found = Float32Array.from({length: newWidth * height}, (_, index) => {
      const [row, place] = [Math.floor(index / newWidth), index % newWidth];
      let sum = 0;
      for (let tap = 0; tap < counts[place]; tap++) {
        sum += values[row * width + starts[place] + tap] * weights[place * taps + tap];
      }
      return sum;
    });
    across = newWidth;
  }
  if (newHeight === height) return Float32Array.from(found);
  const {taps, starts, counts, weights} = windows(height, newHeight, "bilinear");
  return Float32Array.from({length: across * newHeight}, (_, index) => {
    const [place, column] = [Math.floor(index / across), index % across];
    let sum = 0;
    for (let tap = 0; tap < counts[place]; tap++) {
      sum += found[(starts[place] + tap) * across + column] * weights[place * taps + tap];
    }
    return sum;
  });
}
