// Reads a model file: a .tflite flatbuffer with osteolite.json in the zip archive appended to it.

const DESCRIPTION = "osteolite.json";
const MAX_DESCRIPTION = 4 * 2 ** 20; // bytes
const MAX_ENTRIES = 256;
const END = 0x06054b50; // signature of the end of the central directory
const ENTRY = 0x02014b50; // signature of an entry of the central directory
const LOCAL = 0x04034b50; // signature of a local file header
const END_BYTES = 22;
const MAX_COMMENT = 65535;

class Damaged extends Error {}

// {description, flatbuffer, stage(bodyPart)} of a model file's bytes: the content of osteolite.json, the network, and
// the bytes of a router's model file for a body part. Nothing is copied.
export function readModel(bytes) {
  if (bytes.length < 8 || String.fromCharCode(...bytes.subarray(4, 8)) !== "TFL3") {
    throw new Error("not a TFLite model; give a .tflite file that `osteolite convert` wrote");
  }
  const entries = readEntries(bytes);
  const content = entries.get(DESCRIPTION);
  if (!content) throw new Error(`a TFLite model without ${DESCRIPTION}; \`osteolite convert\` writes one`);
  if (content.length > MAX_DESCRIPTION) {
    throw new Error(`${DESCRIPTION} has ${content.length} bytes; at most ${MAX_DESCRIPTION} are read`);
  }
  let description;
  try {
    description = JSON.parse(new TextDecoder("utf-8", {fatal: true}).decode(content));
  } catch {
    throw new Error(`${DESCRIPTION} cannot be read; copy the model file again`);
  }
  const length = description?.flatbuffer?.bytes;
  if (!(Number.isInteger(length) && length >= 8 && length < bytes.length)) {
    throw new Error("the model file is damaged; copy it again");
  }
  const stage = (bodyPart) => stageOf(entries, description, bodyPart);
  return {description, flatbuffer: bytes.subarray(0, length), stage};
}

// Throws unless the bytes have the expected SHA-256. Browsers compute it only on pages from https or localhost;
// elsewhere the check is skipped.
export async function checkDigest(bytes, expected, what) {
  if (!globalThis.crypto?.subtle) return;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  if (Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("") !== expected) {
    throw new Error(`${what} is damaged (its SHA-256 differs from the one written); copy the file again`);
  }
}

function stageOf(entries, description, bodyPart) {
  const content = entries.get(`stages/${bodyPart}.tflite`);
  if (!content || content.length !== description.stages?.[bodyPart]?.bytes) {
    throw new Error(`the model's stage ${bodyPart} is missing or damaged; copy the file again`);
  }
  return content;
}

// The archive's entries by name. All are stored uncompressed.
function readEntries(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    return readDirectory(bytes, view, endOf(view));
  } catch (error) {
    if (error instanceof Damaged || error instanceof RangeError) {
      throw new Error(`the model file's archive is damaged (${error.message}); copy the file again`);
    }
    throw error;
  }
}

function endOf(view) {
  const first = Math.max(0, view.byteLength - END_BYTES - MAX_COMMENT);
  for (let place = view.byteLength - END_BYTES; place >= first; place--) {
    if (view.getUint32(place, true) === END) return place;
  }
  throw new Error(`a TFLite model without ${DESCRIPTION}; \`osteolite convert\` writes one`);
}

function readDirectory(bytes, view, end) {
  const count = view.getUint16(end + 10, true);
  if (count > MAX_ENTRIES) throw new Damaged(`${count} entries`);
  let place = view.getUint32(end + 16, true);
  const entries = new Map();
  for (let entry = 0; entry < count; entry++) {
    if (view.getUint32(place, true) !== ENTRY) throw new Damaged("its directory");
    const [method, size] = [view.getUint16(place + 10, true), view.getUint32(place + 24, true)];
    const [name, extra, comment] = [28, 30, 32].map((field) => view.getUint16(place + field, true));
    const fileName = new TextDecoder().decode(bytes.subarray(place + 46, place + 46 + name));
    if (method !== 0) throw new Damaged(`${fileName} is compressed`);
    const local = view.getUint32(place + 42, true);
    if (view.getUint32(local, true) !== LOCAL) throw new Damaged(fileName);
    const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    if (start + size > end) throw new Damaged(fileName);
    entries.set(fileName, bytes.subarray(start, start + size));
    place += 46 + name + extra + comment;
  }
  return entries;
}
