import { styleText } from "node:util";

/** What the demo says to the person who watches. */
export function chapter(text: string): void {
  console.log(`\n${styleText("bold", `== ${text}`)}`);
}

export function show(text: string): void {
  console.log(
    text
      .trimEnd()
      .split("\n")
      .map((line) => `   ${line}`)
      .join("\n"),
  );
}

export function table(rows: readonly Record<string, unknown>[]): void {
  const columns = Object.keys(rows[0] ?? {});
  const cells = [columns, ...rows.map((row) => columns.map((column) => textOf(row[column])))];
  const widths = columns.map((_, index) => Math.max(...cells.map((line) => line[index]?.length ?? 0)));
  show(
    cells
      .map((line) =>
        line
          .map((cell, index) => cell.padEnd(widths[index] ?? 0))
          .join("  ")
          .trimEnd(),
      )
      .join("\n"),
  );
}

/** A promise of the demo: what was found must be what was said. */
export function expectEqual(what: string, found: unknown, wanted: unknown): void {
  const [is, must] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (is !== must) throw new Error(`${what}: found ${is}, promised ${must}`);
  show(`${styleText("green", "ok")}  ${what}: ${is}`);
}

function textOf(cell: unknown): string {
  if (cell instanceof Date) return cell.toISOString();
  return typeof cell === "string" ? cell : JSON.stringify(cell ?? "");
}
