// Constants shared with Python; `osteolite.edge.browser.constants()` writes the file.

const response = await fetch(new URL("../constants.json", import.meta.url));
if (!response.ok) throw new Error(`constants.json cannot be fetched (${response.status}); write the folder again`);

export const constants = await response.json();
