// Prepares a decoded radiograph as the model's input: edge/preprocess.py in JavaScript, with bit-identical pixels.
//
// A spec is the `preprocessing` of osteolite.json: width, height, aspect, interpolation, channels, mean, std.

import {resize, resizeFloats} from "./resize.js";

// [width, height] of an image inside the input.
export function fittedSize(spec, width, height) {
  if (spec.aspect === "squeeze") return [spec.width, spec.height];
  const ratio = Math.min(spec.width / width, spec.height / height);
  return [Math.max(1, roundHalfEven(width * ratio)), Math.max(1, roundHalfEven(height * ratio))];
}

// How many times longer the sides of an image become inside the input.
export function enlargement(spec, width, height) {
  const size = fittedSize(spec, width, height);
  return Math.max(size[0] / width, size[1] / height);
}

// Rounds as Python does: 0.5 to 0, 1.5 and 2.5 to 2.
export function roundHalfEven(value) {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest !== 0.5) return rest < 0.5 ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}

// Left and top of the image inside the input.
export const placeOf = (spec, [width, height]) =>
  [Math.floor((spec.width - width) / 2), Math.floor((spec.height - height) / 2)];

// Resizes a grey image {width, height, data} to the input's size: Uint8Array of height x width.
export function fit(grey, spec) {
  const size = fittedSize(spec, grey.width, grey.height);
  const pixels = resize(grey.data, grey.width, grey.height, ...size, spec.interpolation);
  if (size[0] === spec.width && size[1] === spec.height) return pixels;
  const canvas = new Uint8Array(spec.width * spec.height);
  const [left, top] = placeOf(spec, size);
  for (let row = 0; row < size[1]; row++) {
    canvas.set(pixels.subarray(row * size[0], (row + 1) * size[0]), (top + row) * spec.width + left);
  }
  return canvas;
}

// The tensor value of each of the 256 grey levels, computed in float32.
export function greyLevels(spec) {
  const mean = Math.fround(spec.mean);
  const std = Math.fround(spec.std);
  return Float32Array.from({length: 256}, (_, value) => Math.fround(Math.fround(value - mean) / std));
}

// The model's input (1, height, width, channels) from the pixels of `fit`.
export function tensorOf(pixels, spec) {
  const levels = greyLevels(spec);
  const channels = spec.channels === "rgb" ? 3 : 1;
  const tensor = new Float32Array(pixels.length * channels);
  for (let pixel = 0, place = 0; pixel < pixels.length; pixel++) {
    for (let channel = 0; channel < channels; channel++) tensor[place++] = levels[pixels[pixel]];
  }
  return tensor;
}

// The part of a map that the image covers in the input, without the padding: {width, height, data}.
export function contentOf(map, spec, width, height) {
  const whole = resizeFloats(map.values, map.columns, map.rows, spec.width, spec.height);
  const inner = fittedSize(spec, width, height);
  const [left, top] = placeOf(spec, inner);
  const data = new Float32Array(inner[0] * inner[1]);
  for (let row = 0; row < inner[1]; row++) {
    const start = (top + row) * spec.width + left;
    data.set(whole.subarray(start, start + inner[0]), row * inner[0]);
  }
  return {width: inner[0], height: inner[1], data};
}
