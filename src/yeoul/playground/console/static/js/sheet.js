// Rows from a spreadsheet: what its cells put on the clipboard.

/** Text with tabs and newlines as rows of cells; quoted cells may hold both. */
export function rowsOf(text) {
  const found = [[]];
  let cell = "";
  let quoted = false;
  for (let i = 0; i < text.length; i += 1) {
    const c = text[i];
    if (quoted) {
      if (c !== '"') cell += c;
      else if (text[i + 1] === '"') cell += text[(i += 1)];
      else quoted = false;
    } else if (c === '"' && cell === "") {
      quoted = true;
    } else if (c === "\t" || c === "\n") {
      found.at(-1).push(cell);
      cell = "";
      if (c === "\n") found.push([]);
    } else if (c !== "\r") {
      cell += c;
    }
  }
  found.at(-1).push(cell);
  if (found.at(-1).length === 1 && found.at(-1)[0] === "") found.pop();
  return found;
}
