import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Prepares a server's folder, unless an earlier start completed that; an interrupted one counts as not done. */
export async function once(folder: string, prepare: () => Promise<void>): Promise<void> {
  const marker = join(folder, "prepared");
  if (existsSync(marker)) return;
  await prepare();
  writeFileSync(marker, "");
}
