import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const marker = (folder: string) => join(folder, "prepared");

/** Prepares a server's folder, unless an earlier start completed that; an interrupted one counts as not done. */
export async function once(folder: string, prepare: () => Promise<void>): Promise<void> {
  if (existsSync(marker(folder))) return;
  await prepare();
  writeFileSync(marker(folder), "");
}

/** Has the next start prepare the folder again: its data is gone. */
export const forget = (folder: string) => rmSync(marker(folder), { force: true });
