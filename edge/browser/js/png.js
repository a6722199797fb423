// Reads PNG. Browsers would cut 16 bits to 8 and may alter pixels.

import {damaged, orientationIn, textAt, viewOf} from "./format.js";
import {collector, upright} from "./pixels.js";

const GREY = 0, RGB = 2, PALETTE = 3, GREY_ALPHA = 4, RGBA = 6; // colour types of the format
const CHANNELS = {[GREY]: 1, [RGB]: 3, [PALETTE]: 1, [GREY_ALPHA]: 2, [RGBA]: 4};
const DEPTHS = {
  [GREY]: [1, 2, 4, 8, 16], [RGB]: [8, 16], [PALETTE]: [1, 2, 4, 8], [GREY_ALPHA]: [8, 16], [RGBA]: [8, 16],
};
const CHECKED = new Set(["IHDR", "PLTE", "tRNS"]); // the pixels have their own checksum
const BIT_DEPTHS = [8, 10, 12, 14, 16]; // radiographs of 10 to 14 bits are commonly stored in 16
const MAX_BYTES = 2 ** 28; // of the inflated pixels
const PASSES = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];

// {grey, chroma} of a file's bytes. `check(width, height)` throws for a size that must not be decoded.
export async function readPng(bytes, check) {
  const file = chunks(bytes);
  const {width, height, depth, colour, interlaced} = header(file.IHDR);
  check(width, height);
  if (file.acTL && viewOf(file.acTL).getUint32(0) > 1) {
    throw new Error("the file has several frames; save the one to score as a separate file");
  }
  const samples = await samplesOf(file.IDAT, {width, height, depth, colour, interlaced});
  const {grey, chroma} = depth === 16 && colour === GREY
    ? {grey: {width, height, data: fromDeep(samples)}, chroma: 0}
    : coloured(samples, {width, height, depth, colour}, file);
  return {grey: upright(grey, file.eXIf ? orientationIn(file.eXIf) : 1), chroma};
}

// The samples of an image's compressed bytes, height x width x channels.
async function samplesOf(packed, {width, height, depth, colour, interlaced}) {
  const channels = CHANNELS[colour];
  const bits = depth * channels;
  const passes = interlaced ? PASSES : [[0, 0, 1, 1]];
  const sizes = passes.map(([left, top, across, down]) =>
    [Math.ceil((width - left) / across), Math.ceil((height - top) / down)].map((size) => Math.max(0, size)));
  const length = sizes.reduce((sum, [columns, rows]) => sum + (columns && rows * (1 + rowBytes(columns, bits))), 0);
  if (length > MAX_BYTES) {
    throw new Error(`${width} x ${height} pixels of ${bits} bits are too many; save it as 8-bit grey`);
  }
  const samples = new (depth === 16 ? Uint16Array : Uint8Array)(width * height * channels);
  const raw = await inflated(packed, length);
  let start = 0;
  sizes.forEach(([columns, rows], pass) => {
    if (!columns) return;
    const place = {width, channels, depth, pass: passes[pass]};
    start = unfilter(raw, start, columns, rows, bits, (line, row) => spread(line, row, columns, place, samples));
  });
  return samples;
}

const rowBytes = (columns, bits) => Math.ceil(columns * bits / 8);

// The chunks by name; IDAT is a list. Only the first chunk of another name counts.
function chunks(bytes) {
  const view = viewOf(bytes);
  const found = {IDAT: []};
  for (let place = 8; place + 12 <= bytes.length;) {
    const length = view.getUint32(place);
    const name = textAt(bytes, place + 4, 4);
    const content = bytes.subarray(place + 8, place + 8 + length);
    if (name === "IDAT") found.IDAT.push(content);
    else found[name] ??= content;
    if (place + 12 + length > bytes.length) break;
    if (CHECKED.has(name) && checksum(bytes, place + 4, 4 + length) !== view.getUint32(place + 8 + length)) {
      throw damaged(`its chunk ${name} has a wrong checksum`);
    }
    if (name === "IEND") break;
    place += 12 + length;
  }
  if (!found.IHDR || found.IHDR.length !== 13 || !found.IDAT.length) throw damaged("it ends before its pixels");
  return found;
}

function checksum(bytes, start, length) {
  let sum = -1;
  for (const byte of bytes.subarray(start, start + length)) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit++) sum = sum >>> 1 ^ (sum & 1 ? 0xedb88320 : 0);
  }
  return ~sum >>> 0;
}

function header(content) {
  const view = viewOf(content);
  const [width, height, depth, colour] = [view.getUint32(0), view.getUint32(4), content[8], content[9]];
  if (!DEPTHS[colour]?.includes(depth) || content[10] || content[11] || content[12] > 1) {
    throw damaged("its header is not valid");
  }
  return {width, height, depth, colour, interlaced: content[12] === 1};
}

// Inflates exactly `length` bytes, even if the data would inflate to more.
async function inflated(parts, length) {
  if (typeof DecompressionStream === "undefined") {
    throw new Error("this browser cannot read PNG (it has no DecompressionStream); use a newer one");
  }
  const found = new Uint8Array(length);
  const reader = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
  let filled = 0;
  try {
    while (filled < length) {
      const {done, value} = await reader.read();
      if (done) break;
      found.set(value.subarray(0, length - filled), filled);
      filled += Math.min(value.length, length - filled);
    }
  } catch {
    throw damaged("its pixels are cut short or damaged");
  } finally {
    reader.cancel().catch(() => null);
  }
  if (filled < length) throw damaged("its pixels are cut short");
  return found;
}

// Undoes the filters of a pass and passes each row to `take`; returns the start of the next pass.
function unfilter(raw, start, columns, rows, bits, take) {
  const length = rowBytes(columns, bits);
  const step = Math.max(1, bits >> 3);
  let above = new Uint8Array(length);
  for (let row = 0; row < rows; row++) {
    const filter = raw[start];
    const line = raw.subarray(start + 1, start + 1 + length);
    if (filter > 4) throw damaged("a row has an unknown filter");
    for (let place = 0; filter && place < length; place++) {
      const left = place >= step ? line[place - step] : 0;
      const corner = place >= step ? above[place - step] : 0;
      line[place] += predicted(filter, left, above[place], corner);
    }
    take(line, row);
    above = line;
    start += 1 + length;
  }
  return start;
}

function predicted(filter, left, up, corner) {
  if (filter === 1) return left;
  if (filter === 2) return up;
  if (filter === 3) return left + up >> 1;
  const [toLeft, toUp, toCorner] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
  if (toLeft <= toUp && toLeft <= toCorner) return left;
  return toUp <= toCorner ? up : corner;
}

// Writes a row's samples to their places in the image.
function spread(line, row, columns, {width, channels, depth, pass: [left, top, across, down]}, samples) {
  const mask = 2 ** depth - 1;
  for (let column = 0, sample = 0; column < columns; column++) {
    const target = ((top + row * down) * width + left + column * across) * channels;
    for (let channel = 0; channel < channels; channel++, sample++) {
      if (depth === 16) samples[target + channel] = line[2 * sample] << 8 | line[2 * sample + 1];
      else if (depth === 8) samples[target + channel] = line[sample];
      else {
        const bit = sample * depth;
        samples[target + channel] = line[bit >> 3] >> 8 - depth - bit % 8 & mask;
      }
    }
  }
}

// Scales 16-bit samples to 8 bits from the smallest of 8, 10, 12, 14 or 16 bits that holds their maximum.
function fromDeep(samples) {
  const highest = samples.reduce((maximum, sample) => Math.max(maximum, sample), 0);
  const bits = BIT_DEPTHS.find((depth) => highest < 2 ** depth);
  return Uint8Array.from(samples, (sample) => sample >> bits - 8);
}

function coloured(samples, {width, height, depth, colour}, {PLTE: palette, tRNS: clear}) {
  if (colour === PALETTE && !palette) throw damaged("it has no palette");
  const pixels = collector(width, height);
  const rgba = new Uint8ClampedArray(4 * width);
  const toPixel = pixelReader(samples, depth, colour, palette, clear);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) toPixel(row * width + column, rgba, 4 * column);
    pixels.add(rgba, 1);
  }
  const found = pixels.done();
  // Only the upper 8 of 16 bits are kept, so colours that use 14 bits or fewer would keep at most 6.
  if (depth === 16 && (colour === RGB || colour === RGBA) && found.grey.data.every((value) => value < 64)) {
    throw new Error("16-bit colours that use 14 bits or fewer; save it with 8 bits, or as 16-bit grey");
  }
  return found;
}

// A function that writes one pixel as RGBA into a row.
function pixelReader(samples, depth, colour, palette, clear) {
  const shift = depth === 16 ? 8 : 0;
  const scale = depth < 8 ? 255 / (2 ** depth - 1) : 1;
  const keys = clear && colour !== PALETTE ? viewOf(clear) : null;
  const channels = CHANNELS[colour];
  return (index, rgba, place) => {
    const first = index * channels;
    let opacity = 255;
    if (colour === PALETTE) {
      const entry = samples[first];
      for (let channel = 0; channel < 3; channel++) rgba[place + channel] = palette[3 * entry + channel] ?? 0;
      opacity = clear?.[entry] ?? 255;
    } else {
      const grey = channels < 3;
      for (let channel = 0; channel < 3; channel++) {
        rgba[place + channel] = (samples[first + (grey ? 0 : channel)] >> shift) * scale;
      }
      if (channels % 2 === 0) opacity = samples[first + channels - 1] >> shift;
      else if (keys) opacity = isKey(samples, first, channels, keys) ? 0 : 255;
    }
    rgba[place + 3] = opacity;
  };
}

function isKey(samples, first, channels, keys) {
  for (let channel = 0; channel < channels; channel++) {
    if (samples[first + channel] !== keys.getUint16(2 * channel)) return false;
  }
  return true;
}
