import { watch } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "pino";
import { sleep } from "../runtime/backoff.ts";
import { type ApplyConfiguration, ConflictError, InvalidError, type KubeObject } from "../runtime/object-store.ts";
import type { EmbeddedStore } from "./embedded-store.ts";
import { type ManifestProblem, type Manifests, parseManifests, problemsOf } from "./manifests.ts";

/** On every object that comes from a file: which one. */
export const manifestAnnotation = "auditpipeline.io/manifest";
const fieldManager = "manifests";
const manifestFile = /^[^.].*\.(ya?ml|json)$/;

/** A file is read when it has been left alone for so long. */
const settleMs = 300;
const rescanMs = 5_000;

export interface ManifestFolder {
  /** The path of the file that declares the resource now. */
  declaredIn(ref: { kind: string; namespace: string; name: string }): string | undefined;
  /** Ends when the signal of the options is aborted. */
  stopped: Promise<void>;
}

interface FolderOptions {
  dir: string;
  store: EmbeddedStore;
  log: Logger;
  signal: AbortSignal;
}

/** Resource to file. */
type Refs = Map<string, string>;

interface Memory {
  /** The problems last logged of each file. */
  told: Map<string, string>;
  declared: Refs;
  /** Device and inode of the folder that the declarations were read from. */
  folder: string;
}

/**
 * Keeps the store as the folder says: what a file declares is applied, and a resource goes when no file declares it any
 * more, as with `kubectl delete`. A file with a problem changes nothing, and what it declared before goes on. A folder
 * found without any manifest changes nothing either, at the start or when it is another folder (device, inode) than the
 * one last read: it may be one that is not mounted yet. The same folder emptied while it is followed is a deletion of all.
 */
export async function followFolder(options: FolderOptions): Promise<ManifestFolder> {
  const { dir, signal, log } = options;
  const memory: Memory = { told: new Map(), declared: new Map(), folder: "" };
  const sync = async () => {
    try {
      await syncFolder(options, memory);
    } catch (error) {
      log.error({ err: error, dir }, "Reading manifests failed");
    }
  };
  await sync();
  return {
    declaredIn({ kind, namespace, name }) {
      const file = memory.declared.get(`${kind}/${namespace}/${name}`);
      return file && join(dir, file);
    },
    stopped: loop(dir, signal, log, sync),
  };
}

async function loop(dir: string, signal: AbortSignal, log: Logger, sync: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    await somethingChanged(dir, signal, log);
    await sleep(settleMs, signal);
    if (!signal.aborted) await sync();
  }
}

/** The watch is a hint: it misses changes on some file systems, so a rescan comes anyway. */
async function somethingChanged(dir: string, signal: AbortSignal, log: Logger): Promise<void> {
  const woken = new AbortController();
  const wake = () => woken.abort();
  try {
    const watcher = watch(dir, wake).on("error", wake);
    await sleep(rescanMs, AbortSignal.any([signal, woken.signal]));
    watcher.close();
  } catch (error) {
    log.warn({ err: error, dir }, "Folder cannot be watched");
    await sleep(rescanMs, signal);
  }
}

async function syncFolder(options: FolderOptions, memory: Memory): Promise<void> {
  const { told } = memory;
  const files = (await readdir(options.dir)).filter((name) => manifestFile.test(name)).toSorted();
  const { dev, ino } = await stat(options.dir);
  const folder = `${dev}/${ino}`;
  const present = await declaredObjects(options.store);
  if (files.length === 0 && present.length > 0 && folder !== memory.folder) {
    const allowed = "at least one, or the folder is taken for one that is not mounted: nothing is removed";
    return tell(options.log, told, "", [{ path: options.dir, found: "no manifest", allowed }]);
  }
  const declared: Refs = new Map();
  for (const file of files) {
    const taken = await takeFile(file, options, declared, present);
    tell(options.log, told, file, taken.problems);
    for (const id of taken.ids) declared.set(id, file);
  }
  for (const object of present) await removeUndeclared(object, declared, options);
  for (const file of told.keys()) if (!files.includes(file)) told.delete(file);
  Object.assign(memory, { declared, folder });
}

interface Taken {
  problems: ManifestProblem[];
  /** What the file declares now or, with problems, did last. */
  ids: string[];
}

async function takeFile(file: string, options: FolderOptions, declared: Refs, present: KubeObject[]): Promise<Taken> {
  const { store, dir } = options;
  const lastGood = present.filter((object) => fileOf(object) === file).map(idOf);
  const parsed = await readSettled(join(dir, file));
  if (parsed === undefined) return { problems: [], ids: lastGood };
  if (!parsed.ok) return { problems: parsed.problems, ids: lastGood };
  const objects = parsed.objects.map((object) => marked(object, file));
  const problems = (await Promise.all(objects.map((object) => preview(object, store, declared)))).flat();
  if (problems.length > 0) return { problems, ids: lastGood };
  for (const object of objects) await applyOne(object, file, options, present);
  return { problems: [], ids: objects.map(idOf) };
}

/** Undefined while the file is being written, or is gone by now. */
async function readSettled(path: string): Promise<Manifests | undefined> {
  try {
    const [before, text, after] = [await stat(path), await readFile(path, "utf8"), await stat(path)];
    const age = Date.now() - after.mtimeMs;
    if (before.mtimeMs !== after.mtimeMs || (age >= 0 && age < settleMs)) {
      await sleep(settleMs, new AbortController().signal);
      return (await stat(path)).mtimeMs === after.mtimeMs ? parseManifests(text) : undefined;
    }
    return parseManifests(text);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    const { code = "error", message } = error as NodeJS.ErrnoException;
    return { ok: false, problems: [{ path: "(the file)", found: `${code}: ${message}`, allowed: "a readable file" }] };
  }
}

async function preview(object: ApplyConfiguration, store: EmbeddedStore, declared: Refs): Promise<ManifestProblem[]> {
  const other = declared.get(idOf(object));
  if (other !== undefined) {
    return [
      { path: "metadata.name", found: `${idOf(object)}, also in ${other}`, allowed: "each resource in one file" },
    ];
  }
  try {
    await store.preview(object, { fieldManager });
    return [];
  } catch (error) {
    if (error instanceof InvalidError) return problemsOf(error);
    if (!(error instanceof ConflictError)) throw error;
    return [{ path: "metadata.name", found: error.message, allowed: "a name that is not in use" }];
  }
}

async function applyOne(
  object: ApplyConfiguration,
  file: string,
  { store, log }: FolderOptions,
  present: KubeObject[],
) {
  const before = present.find((other) => idOf(other) === idOf(object));
  // What is being deleted comes back when it is gone.
  if (before?.metadata.deletionTimestamp !== undefined) return;
  const { metadata, kind } = await store.apply(object, { fieldManager });
  if (metadata.resourceVersion === before?.metadata.resourceVersion) return;
  log.info({ file, kind, namespace: metadata.namespace, name: metadata.name }, "Applied manifest");
}

async function removeUndeclared(object: KubeObject, declared: Refs, { store, log }: FolderOptions) {
  if (declared.has(idOf(object)) || object.metadata.deletionTimestamp !== undefined) return;
  const { kind, metadata } = object;
  const { namespace, name, uid } = metadata;
  log.info({ file: fileOf(object), kind, namespace, name }, "Deleting resource that no manifest declares any more");
  await store.delete({ kind, namespace, name }, { uid });
}

async function declaredObjects(store: EmbeddedStore): Promise<KubeObject[]> {
  const lists = ["Secret", "ConfigMap", "AuditTopic", "AuditPipeline"].map((kind) => store.list(kind));
  return (await Promise.all(lists)).flatMap(({ items }) => items).filter((object) => fileOf(object) !== undefined);
}

/** Each refusal is told once, until it changes. */
function tell(log: Logger, told: Map<string, string>, file: string, problems: ManifestProblem[]): void {
  const text = JSON.stringify(problems);
  if ((told.get(file) ?? "[]") === text) return;
  told.set(file, text);
  if (problems.length === 0) log.info({ file }, "Manifest is taken again");
  for (const problem of problems) log.warn({ file, ...problem }, "Refused manifest");
}

const marked = (object: ApplyConfiguration, file: string): ApplyConfiguration => ({
  ...object,
  metadata: { ...object.metadata, annotations: { ...object.metadata.annotations, [manifestAnnotation]: file } },
});

const fileOf = ({ metadata }: KubeObject) => metadata.annotations?.[manifestAnnotation];

const idOf = ({ kind, metadata }: { kind: string; metadata: { namespace: string; name: string } }) =>
  `${kind}/${metadata.namespace}/${metadata.name}`;
