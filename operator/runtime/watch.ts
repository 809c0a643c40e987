import type { Logger } from "pino";
import { backoffMs, sleep } from "./backoff.ts";
import { GoneError, type KubeObject, type ListOptions, type ObjectStore, type WatchEvent } from "./object-store.ts";

/** What is remembered of an object: enough to compare and to map it to its owner, and no Secret's data. */
export type Seen = Pick<KubeObject, "apiVersion" | "kind" | "metadata">;

export interface WatchRun {
  store: ObjectStore;
  kind: string;
  /** Which objects of the kind; all when absent. */
  scope?: ListOptions;
  signal: AbortSignal;
  log: Logger;
  /** Must only enqueue. `before` is undefined for an object not seen before; `deleted` when it is gone. */
  onChange(object: KubeObject, before: Seen | undefined, deleted: boolean): void;
  /** Called after each list or event that arrived. */
  onAlive?(): void;
  /** A full list replaces the trust in the watch this often. */
  relistMs?: number;
}

/**
 * List, then watch, for ever: a broken watch is resumed with back-off, one that is too old or too long alive starts over
 * with a list, and what the watch missed is then told as changes. Returns when the signal is aborted.
 */
export async function runWatch(options: WatchRun): Promise<void> {
  const { kind, signal, log, relistMs = 600_000 } = options;
  const seen = new Map<string, Seen>();
  let failures = 0;

  while (!signal.aborted) {
    try {
      const resourceVersion = await relist(options, seen);
      failures = 0;
      await follow(options, seen, resourceVersion, AbortSignal.any([signal, AbortSignal.timeout(relistMs)]));
      // A server that ends watches at once must not be asked in a loop.
      await sleep(50, signal);
    } catch (error) {
      if (signal.aborted) return;
      failures = error instanceof GoneError ? Math.min(failures, 1) : failures + 1;
      const waitMs = backoffMs(Math.max(1, failures), { baseMs: 200, maxMs: 30_000 });
      log.warn({ err: error, kind, waitMs }, "Restarting watch");
      await sleep(waitMs, signal);
    }
  }
}

async function relist({ store, kind, scope, onChange, onAlive }: WatchRun, seen: Map<string, Seen>): Promise<string> {
  const { items, resourceVersion } = await store.list(kind, scope);
  const present = new Set(items.map(keyOf));
  for (const [key, before] of seen) {
    if (present.has(key)) continue;
    seen.delete(key);
    onChange(before, before, true);
  }
  for (const object of items) changed(object, seen, onChange);
  onAlive?.();
  return resourceVersion;
}

async function follow(
  { store, kind, scope, onChange, onAlive }: WatchRun,
  seen: Map<string, Seen>,
  resourceVersion: string,
  signal: AbortSignal,
): Promise<void> {
  for await (const event of store.watch(kind, { ...scope, resourceVersion, signal })) {
    onAlive?.();
    if (event.type === "Bookmark") continue;
    if (event.type === "Deleted") gone(event, seen, onChange);
    else changed(event.object, seen, onChange);
  }
}

function changed(object: KubeObject, seen: Map<string, Seen>, onChange: WatchRun["onChange"]): void {
  const key = keyOf(object);
  const before = seen.get(key);
  if (before?.metadata.resourceVersion === object.metadata.resourceVersion) return;
  seen.set(key, { apiVersion: object.apiVersion, kind: object.kind, metadata: object.metadata });
  onChange(object, before, false);
}

function gone(
  { object }: Extract<WatchEvent, { object: unknown }>,
  seen: Map<string, Seen>,
  onChange: WatchRun["onChange"],
): void {
  const before = seen.get(keyOf(object));
  seen.delete(keyOf(object));
  onChange(object, before, true);
}

const keyOf = ({ metadata }: Seen) => `${metadata.namespace}/${metadata.name}`;
