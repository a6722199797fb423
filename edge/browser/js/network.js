// A loaded network: pixels in, the answer with its map and features out, as edge/inference/session.py gives them.

import {tensorOf} from "./preprocess.js";
import {loadRuntime} from "./runtime.js";

// Compile a flatbuffer for "wasm" or "webgpu". `answers` is how many numbers its answer has. The network says what
// `applied` ("wasm" where the GPU cannot run it), `threads` and, where something is not as asked, the `reason`.
export async function openNetwork(flatbuffer, spec, answers, accelerator) {
  if (accelerator === "webgpu") await needGpu();
  const {library, threads} = await loadRuntime(accelerator);
  let model;
  try {
    model = await library.loadAndCompile(flatbuffer, {accelerator});
  } catch (error) {
    throw new Error(`this browser's runtime refuses the model (${oneLine(error)}); take another variant`);
  }
  try {
    const applied = model.options.accelerator;
    const places = checked(model, spec, answers);
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
    throw new Error("a browser gives WebGPU to pages from https or localhost alone; open this one there");
  }
  if (!navigator.gpu) throw new Error("this browser has no WebGPU, or has it switched off; use the processor");
  const adapter = await navigator.gpu.requestAdapter({powerPreference: "high-performance"}).catch(() => null);
  if (!adapter) throw new Error("WebGPU finds no usable GPU here; use the processor");
}

function reasonOf(model, accelerator) {
  if (accelerator !== "webgpu") return "";
  if (model.options.accelerator !== "webgpu") return "some operators are not for WebGPU, and all ran on wasm";
  return model.isFullyAccelerated ? "" : "some operators are not for WebGPU, and ran on wasm";
}

// Places of the map and the features among the outputs.
function checked(model, spec, answers) {
  const [input, ...others] = model.getInputDetails();
  const wanted = shapeOf(spec);
  if (others.length || input.dtype !== "float32" || String(input.shape) !== String(wanted)) {
    throw new Error(`the model takes ${input.dtype} of ${Array.from(input.shape)}; float32 of ${wanted} is needed`);
  }
  const [answer, ...extras] = model.getOutputDetails().map(({shape}) => Array.from(shape));
  if (answer.reduce((product, size) => product * size, 1) !== answers) {
    throw new Error(`the model gives numbers of shape ${answer}; ${answers} in all are needed`);
  }
  const places = {};
  for (const [index, shape] of extras.entries()) {
    const kind = {2: "features", 4: "map"}[shape.length];
    if (!kind || kind in places || shape[0] !== 1 || (kind === "map" && shape[3] !== 1)) {
      throw new Error(`the model's output ${index + 2} is ${shape}; a map (1, rows, columns, 1) and features may come`);
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
    throw new Error(`the model fails in a run (${oneLine(error)}); reload the page, or take another variant`);
  } finally {
    for (const tensor of [input, ...outputs]) tensor.delete();
  }
}

const oneLine = (error) => String(error?.message ?? error).replace(/[^\x20-\x7e]+/g, " ").trim().slice(0, 300);
