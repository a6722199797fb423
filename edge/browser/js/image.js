// Reads an image file as 8-bit grey pixels: edge/imaging/radiograph.py for the formats that a browser reads.

import {damaged, identify} from "./format.js";
import {collector, upright} from "./pixels.js";
import {readPng} from "./png.js";

const MAX_BYTES = 64 * 2 ** 20;
const MAX_PIXELS = 64e6;
const MAX_WIDTH = 16384; // of a canvas in any browser
const STRIP_PIXELS = 2 ** 22; // pixels read back at a time; some phones limit a canvas to four times as many

const number = (value) => value.toLocaleString("en-GB");

// Reads a Blob of PNG, JPEG, WebP or BMP: {grey: {width, height, data: Uint8Array}, chroma, jpegOrientation}. The
// content decides the format, EXIF orientation is applied, and transparency is composited on black. `chroma` is the
// mean difference between a pixel's channels in grey levels; `jpegOrientation` is a JPEG's orientation, and 0
// otherwise.
export async function readRadiograph(blob) {
  if (blob.size === 0) throw new Error("the file is empty");
  if (blob.size > MAX_BYTES) throw new Error(`${number(blob.size)} bytes; at most ${number(MAX_BYTES)} are read`);
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const found = identify(bytes);
  if (found.format === "PNG") return {...await readPng(bytes, checkPixels), jpegOrientation: 0};
  checkPixels(found.width, found.height);
  const {grey, chroma} = await decode(found);
  const jpegOrientation = found.format === "JPEG" ? found.orientation : 0;
  return {grey: upright(grey, found.orientation), chroma, jpegOrientation};
}

function checkPixels(width, height) {
  if (width < 1 || height < 1) throw damaged(`it has no pixels (${width} x ${height})`);
  if (width * height > MAX_PIXELS) {
    throw new Error(`${width} x ${height} pixels; at most ${number(MAX_PIXELS)} pixels are read`);
  }
}

async function decode({content, type, width, height}) {
  if (width > MAX_WIDTH) throw new Error(`${width} pixels wide; at most ${number(MAX_WIDTH)} are read, or use PNG`);
  await checkCanvas();
  let bitmap;
  try {
    const options = {colorSpaceConversion: "none", premultiplyAlpha: "none"};
    bitmap = await createImageBitmap(new Blob([content], {type}), options);
  } catch {
    throw damaged("the browser cannot decode it");
  }
  try {
    if (bitmap.width !== width || bitmap.height !== height) throw damaged("its size differs from its header");
    const pixels = collector(width, height);
    const rows = Math.min(height, Math.max(1, Math.floor(STRIP_PIXELS / width)));
    const canvas = canvasOf(width, rows);
    for (let top = 0; top < height; top += rows) {
      const taken = Math.min(rows, height - top);
      canvas.drawImage(bitmap, 0, -top);
      pixels.add(canvas.getImageData(0, 0, width, taken).data, taken);
    }
    return pixels.done();
  } finally {
    bitmap.close();
  }
}

function canvasOf(width, height) {
  const canvas = Object.assign(document.createElement("canvas"), {width, height});
  const context = canvas.getContext("2d", {willReadFrequently: true, colorSpace: "srgb"});
  if (!context) throw new Error("this browser has no memory left for the image; close other pages and try again");
  context.globalCompositeOperation = "copy";
  return context;
}

let canvasChecked = null;

// Some browsers alter the pixels that a page reads from a canvas, as protection against fingerprinting. The prediction
// would then be wrong.
function checkCanvas() {
  canvasChecked ??= comparePattern();
  return canvasChecked;
}

async function comparePattern() {
  const side = 64;
  const data = Uint8ClampedArray.from({length: 4 * side * side}, (_, place) => place % 4 === 3 ? 255 : place * 37 >> 2);
  const bitmap = await createImageBitmap(new ImageData(data, side, side), {colorSpaceConversion: "none"});
  const canvas = canvasOf(side, side);
  canvas.drawImage(bitmap, 0, 0);
  bitmap.close();
  if (!canvas.getImageData(0, 0, side, side).data.every((value, place) => value === data[place])) {
    throw new Error(
      "this browser alters the pixels that a page reads, to prevent tracking; allow canvas data here, or give a PNG");
  }
}
