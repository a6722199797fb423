// Runs a network on pixels and returns logits, activation map and features, as edge/inference/session.py does.

import {tensorOf} from "./preprocess.js";
import {loadRuntime} from "./runtime.js";

// Compiles a flatbuffer with a given number of logits for "wasm" or "webgpu": {run, applied, reason, threads, close}.
// `applied` is "wasm" when the GPU cannot run the model; `reason` says why not everything runs as requested.
export async function openNetwork(flatbuffer, spec, logits, accelerator) {
  if (accelerator === "webgpu") await needGpu();
  const {library, threads} = await loadRuntime(accelerator);
  let model;
  try {
    model = await library.loadAndCompile(flatbuffer, {accelerator});
  } catch (error) {
    throw new Error(`this browser's runtime refuses the model (${oneLine(error)}); use another variant`);
  }
  try {
    const applied = model.options.accelerator;
    const places = checkedPlaces(model, spec, logits);
    const reason = reasonOf(model, accelerator);
    const runHere = (pixels) => run(library, model, spec, places, pixels);
    return {run: runHere, applied, reason, threads, close: () => model.delete()};
  } catch (error) {
    model.delete();
    throw error;
  }
}

async function needGpu() {
  if (!globalThis.isSecureContext) {
    throw new Error("browsers allow WebGPU only on pages from https or localhost; open this page there");
  }
  if (!navigator.gpu) throw new Error("this browser has no WebGPU, or it is switched off; use the CPU");
  const adapter = await navigator.gpu.requestAdapter({powerPreference: "high-performance"}).catch(() => null);
  if (!adapter) throw new Error("WebGPU finds no usable GPU on this device; use the CPU");
}

function reasonOf(model, accelerator) {
  if (accelerator !== "webgpu") return "";
  if (model.options.accelerator !== "webgpu") return "WebGPU does not support some operators, so all ran on wasm";
  return model.isFullyAccelerated ? "" : "WebGPU does not support some operators, which ran on wasm";
}

// The places of the map and the features among the outputs.
function checkedPlaces(model, spec, logits) {
  const [input, ...others] = model.getInputDetails();
  const expected = shapeOf(spec);
  if (others.length || input.dtype !== "float32" || String(input.shape) !== String(expected)) {
    throw new Error(`the model takes ${input.dtype} of ${Array.from(input.shape)}; float32 of ${expected} is needed`);
  }
  const [logitShape, ...extras] = model.getOutputDetails().map(({shape}) => Array.from(shape));
  if (logitShape.reduce((product, size) => product * size, 1) !== logits) {
    throw new Error(`the model's first output has shape ${logitShape}; ${logits} logits are needed`);
  }
  const places = {};
  for (const [index, shape] of extras.entries()) {
    const kind = {2: "features", 4: "map"}[shape.length];
    if (!kind || kind in places || shape[0] !== 1 || (kind === "map" && shape[3] !== 1)) {
      throw new Error(`the model's output ${index + 2} is ${shape}; a map (1, rows, columns, 1) and features may follow`);
    }
    places[kind] = {index: index + 1, shape};
  }
  return places;
}

const shapeOf = ({width, height, channels}) => [1, height, width, channels === "rgb" ? 3 : 1];

async function run(library, model, spec, {map, features}, pixels) {
  const input = new library.Tensor(tensorOf(pixels, spec), shapeOf(spec));
  let outputs = [];
  try {
    outputs = await model.run(input);
    const values = await Promise.all(outputs.map(async (output) => Float32Array.from(await output.data())));
    return {
      values: values[0],
      activationMap: map ? {rows: map.shape[1], columns: map.shape[2], values: values[map.index]} : null,
      features: features ? values[features.index] : null,
    };
  } catch (error) {
    throw new Error(`the model fails in a run (${oneLine(error)}); reload the page or use another variant`);
  } finally {
    for (const tensor of [input, ...outputs]) tensor.delete();
  }
}

const oneLine = (error) => String(error?.message ?? error).replace(/[^\x20-\x7e]+/g, " ").trim().slice(0, 300);
