// A feature map as a coloured layer over its radiograph: edge/prediction/heatmap.py in JavaScript.

import {constants} from "./constants.js";
import {contentOf} from "./preprocess.js";

// The part of the map that the image covers in the input, enlarged bilinearly: {width, height, data: Float32Array}.
export const contentMap = contentOf;

// The map as RGBA: opaque where the map is strong, transparent where it is 0 or less. Draw it over the radiograph,
// enlarged to the radiograph's size. `width` and `height` are those of the radiograph.
export function layer(map, spec, width, height) {
  const {colours, opacity} = constants.heatmap;
  const content = contentMap(map, spec, width, height);
  const highest = content.data.reduce((maximum, value) => Math.max(maximum, value), 0);
  const image = new ImageData(content.width, content.height);
  content.data.forEach((value, pixel) => {
    const strength = Math.fround(highest > 0 ? Math.max(value, 0) / highest : 0);
    const index = Math.trunc(Math.fround(255 * strength));
    image.data.set([...colours[index], Math.trunc(opacity * index)], 4 * pixel);
  });
  return image;
}
