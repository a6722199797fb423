// A feature map as colours to be laid over the radiograph that it came from.

import {constants} from "./constants.js";
import {contentOf} from "./preprocess.js";

// The map of what the image covers in the input, enlarged bilinearly: {width, height, data: Float32Array}.
export const contentMap = contentOf;

// The same as colours of its own size, RGBA: opaque where the map is strong, clear where it is 0 or less. Draw it over
// the radiograph, enlarged to the radiograph's size. `width` and `height` are the radiograph's.
export function layer(map, spec, width, height) {
  const {colours, opacity} = constants.heatmap;
  const content = contentMap(map, spec, width, height);
  const highest = content.data.reduce((most, value) => Math.max(most, value), 0);
  const image = new ImageData(content.width, content.height);
  content.data.forEach((value, pixel) => {
    const strength = Math.fround(highest > 0 ? Math.max(value, 0) / highest : 0);
    const index = Math.trunc(Math.fround(255 * strength));
    image.data.set([...colours[index], Math.trunc(opacity * index)], 4 * pixel);
  });
  return image;
}
