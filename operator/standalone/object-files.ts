import { createHash, randomUUID } from "node:crypto";
import { mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { KubeObject } from "../runtime/object-store.ts";

/** An object as kept: beside it, what its field manager last applied. */
export interface Stored {
  object: KubeObject & Record<string, unknown>;
  applied?: { manager: string; config: Record<string, unknown> };
}

/** Where an object is kept. */
export const objectPath = (dir: string, { kind, metadata: { namespace, name } }: KubeObject): string =>
  join(dir, "objects", kind, namespace, `${fileNameOf(name)}.json`);

/** Long names are cut, with a hash: a file name has 255 bytes at the most, and an ending follows. */
export function fileNameOf(name: string): string {
  if (name.length <= 200) return name;
  return `${name.slice(0, 180)}~${createHash("sha256").update(name).digest("hex").slice(0, 16)}`;
}

/** Whole or not at all, also when the machine stops in the middle. Readable by the owner alone. */
export async function writeDurably(path: string, text: string): Promise<void> {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const draft = join(folder, `.${randomUUID()}.tmp`);
  const file = await open(draft, "w", 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
    await file.close();
    await rename(draft, path);
  } catch (error) {
    // On a full disk a draft must not take the room that is needed to go on.
    await file.close().catch(() => undefined);
    await rm(draft, { force: true });
    throw error;
  }
  await syncFolder(folder);
}

export async function removeDurably(path: string): Promise<void> {
  await rm(path, { force: true });
  await syncFolder(dirname(path));
}

/** All objects of the folder; drafts that a crash left behind are no objects. */
export async function readObjects(dir: string): Promise<Stored[]> {
  const root = join(dir, "objects");
  const entries = await readdir(root, { recursive: true, withFileTypes: true }).catch(missing);
  const files = entries.filter((entry) => entry.isFile() && entry.name.endsWith(".json"));
  const found = await Promise.all(files.map(({ parentPath, name }) => readObject(join(parentPath, name))));
  return found.filter((stored) => stored !== undefined);
}

/** Undefined when it was removed meanwhile: the folder may be read beside the process that writes it. */
async function readObject(path: string): Promise<Stored | undefined> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  try {
    return text === undefined ? undefined : (JSON.parse(text) as Stored);
  } catch (cause) {
    throw new Error(`${path} is damaged and cannot be read: put back a copy of it, or remove it`, { cause });
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function missing(error: NodeJS.ErrnoException): never[] {
  if (error.code === "ENOENT") return [];
  throw error;
}
