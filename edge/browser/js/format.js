// Identifies an image file by its first bytes, before anything is decoded.

const SUPPORTED = "this page reads PNG, JPEG, WebP and BMP";
const EXIF = "Exif\0\0";
const PROFILE = "ICC_PROFILE";
const ORIENTATION = 0x0112;
const MAX_FIELDS = 512; // of an EXIF directory
const START_OF_SCAN = 0xda;
const FRAMES = new Set([0xc0, 0xc1, 0xc2]); // the encodings that browsers decode

const UNSUPPORTED = [
  {at: 0, is: "II*\0", name: "a TIFF file"},
  {at: 0, is: "MM\0*", name: "a TIFF file"},
  {at: 128, is: "DICM", name: "a DICOM file"},
  {at: 4, is: "ftyp", name: "a HEIC or AVIF photograph"},
  {at: 0, is: "%PDF", name: "a PDF document"},
  {at: 0, is: "GIF8", name: "a GIF file"},
];

export const textAt = (bytes, at, length) => String.fromCharCode(...bytes.subarray(at, at + length));
export const damaged = (reason) => new Error(`damaged image (${reason}); export it again from its source`);
export const viewOf = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

// {format, type, width, height, orientation, content} of a file's bytes. `content` is what the browser decodes: without
// orientation and colour profile, which browsers treat differently. For a PNG, only `format`.
export function identify(bytes) {
  const known = [["\x89PNG\r\n\x1a\n", png], ["\xff\xd8\xff", jpeg], ["BM", bmp]];
  try {
    for (const [magic, read] of known) if (textAt(bytes, 0, magic.length) === magic) return read(bytes);
    if (textAt(bytes, 0, 4) === "RIFF" && textAt(bytes, 8, 4) === "WEBP") return webp(bytes);
  } catch (error) {
    if (error instanceof RangeError) throw damaged("it ends in its header");
    throw error;
  }
  const other = UNSUPPORTED.find(({at, is}) => textAt(bytes, at, is.length) === is);
  throw new Error(other
    ? `${other.name}; ${SUPPORTED}, so save it as PNG`
    : `not an image of a known format; ${SUPPORTED}`);
}

const png = () => ({format: "PNG"});

function jpeg(bytes) {
  const view = viewOf(bytes);
  const content = Uint8Array.from(bytes);
  const found = {format: "JPEG", type: "image/jpeg", content, orientation: 1};
  let place = 2;
  for (;;) {
    while (bytes[place] === 0xff && bytes[place + 1] === 0xff) place++;
    if (view.getUint8(place) !== 0xff) throw damaged("its segments are not contiguous");
    const marker = bytes[place + 1];
    const length = view.getUint16(place + 2);
    if (marker === START_OF_SCAN) break;
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      if (!FRAMES.has(marker) || bytes[place + 4] !== 8) {
        throw new Error("a lossless or 12-bit JPEG; save it as PNG with 8 or 16 bits");
      }
      [found.height, found.width] = [view.getUint16(place + 5), view.getUint16(place + 7)];
      found.channels = bytes[place + 9];
    }
    if (textAt(bytes, place + 4, EXIF.length) === EXIF) {
      found.orientation = orientationIn(bytes.subarray(place + 4 + EXIF.length, place + 2 + length));
      content[place + 4] = 0;
    }
    if (textAt(bytes, place + 4, PROFILE.length) === PROFILE) content[place + 4] = 0;
    place += 2 + length;
  }
  if (!found.width) throw damaged("it has no size");
  if (found.channels === 4) throw new Error("a JPEG in print colours (CMYK); save it as grey or RGB");
  if (!hasEndMarker(bytes, place)) throw damaged("it is cut short");
  return found;
}

// Whether the end marker of a JPEG comes after its first scan.
function hasEndMarker(bytes, scan) {
  for (let place = bytes.lastIndexOf(0xd9); place > scan; place = bytes.lastIndexOf(0xd9, place - 1)) {
    if (bytes[place - 1] === 0xff) return true;
  }
  return false;
}

function bmp(bytes) {
  const view = viewOf(bytes);
  const old = view.getUint32(14, true) === 12;
  const [width, height] = old
    ? [view.getUint16(18, true), view.getUint16(20, true)]
    : [view.getInt32(18, true), Math.abs(view.getInt32(22, true))];
  return {format: "BMP", type: "image/bmp", width, height, orientation: 1, content: bytes};
}

function webp(bytes) {
  const view = viewOf(bytes);
  const content = Uint8Array.from(bytes);
  const found = {format: "WebP", type: "image/webp", content, orientation: 1, ...webpSize(bytes, view)};
  if (8 + view.getUint32(4, true) > bytes.length) throw damaged("it is cut short");
  for (let place = 12; place + 8 <= bytes.length;) {
    const [name, length] = [textAt(bytes, place, 4), view.getUint32(place + 4, true)];
    if (name === "ANIM") throw new Error("the file has several frames; save the one to score as a separate file");
    if (name === "EXIF") {
      const start = place + 8 + (textAt(bytes, place + 8, EXIF.length) === EXIF ? EXIF.length : 0);
      found.orientation = orientationIn(bytes.subarray(start, place + 8 + length));
    }
    if (name === "EXIF" || name === "ICCP") content[place] = 0x20;
    place += 8 + length + length % 2;
  }
  return found;
}

function webpSize(bytes, view) {
  const name = textAt(bytes, 12, 4);
  if (name === "VP8X") {
    const [width, height] = [23, 26].map((before) => 1 + (view.getUint32(before, true) >>> 8)); // 24 bits each
    return {width, height};
  }
  if (name === "VP8L") {
    const packed = view.getUint32(21, true);
    return {width: 1 + (packed & 0x3fff), height: 1 + (packed >> 14 & 0x3fff)};
  }
  if (name === "VP8 ") return {width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff};
  throw damaged("it has no size");
}

// The orientation, 1 to 8, in an EXIF block. A damaged block counts as 1: the pixels can still be good.
export function orientationIn(block) {
  try {
    const view = viewOf(block);
    const little = textAt(block, 0, 2) === "II";
    const start = view.getUint32(4, little);
    const fields = Math.min(view.getUint16(start, little), MAX_FIELDS);
    for (let field = start + 2; field < start + 2 + 12 * fields; field += 12) {
      if (view.getUint16(field, little) === ORIENTATION) return view.getUint16(field + 8, little);
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return 1;
}
