import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeDurably } from "./object-files.ts";

/** How far ahead the counter is written down: a crash skips at most this many versions and repeats none. */
const block = 1_000;

/** Counts resource versions; a start after a crash goes on above all that were ever handed out. */
export interface VersionCounter {
  /** The last one handed out. */
  current(): number;
  next(): Promise<number>;
}

export async function openCounter(dir: string): Promise<VersionCounter> {
  const path = join(dir, "resource-version");
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "0";
    throw error;
  });
  let last = Number.parseInt(text, 10);
  if (!Number.isSafeInteger(last)) throw new Error(`${path} holds ${JSON.stringify(text)}, not a number`);
  let reserved = last;
  return {
    current: () => last,
    async next() {
      if (last >= reserved) {
        await writeDurably(path, String(last + block));
        reserved = last + block;
      }
      last += 1;
      return last;
    },
  };
}
