import { randomUUID } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { isDeepStrictEqual } from "node:util";
import {
  AlreadyExistsError,
  type ApplyConfiguration,
  ConflictError,
  type Draft,
  type EventDraft,
  InvalidError,
  type KubeObject,
  type ListOptions,
  NotFoundError,
  type ObjectMeta,
  type ObjectRef,
  type ObjectStore,
  type WatchOptions,
} from "../runtime/object-store.ts";
import { type Admit, admitBuiltIn, withoutStringData } from "./admit.ts";
import { countEvent } from "./event-count.ts";
import { garbage } from "./garbage.ts";
import { History } from "./history.ts";
import { mergeApplied } from "./merge.ts";
import { objectPath, readObjects, removeDurably, type Stored, writeDurably } from "./object-files.ts";
import { openCounter, type VersionCounter } from "./version-counter.ts";

type Content = KubeObject & Record<string, unknown>;

export interface StoreOptions {
  /** The state folder; its lock must be held. */
  dir: string;
  /** Defaults and validates the kinds the store does not know itself. Throws InvalidError. */
  admit?: Admit;
  /** Changes kept for watches. */
  historySize?: number;
  /** What could not be done in the background. */
  onError?: (error: unknown) => void;
}

export interface EmbeddedStore extends ObjectStore {
  /** Throws what `apply` would throw, and writes nothing. */
  preview(object: ApplyConfiguration, options: { fieldManager: string }): Promise<void>;
  /** Waits for what is being written. */
  close(): Promise<void>;
}

export async function openStore(options: StoreOptions): Promise<EmbeddedStore> {
  await mkdir(options.dir, { recursive: true, mode: 0o700 });
  const [stored, counter] = await Promise.all([readObjects(options.dir), openCounter(options.dir)]);
  const store = new FolderStore(options, stored, counter);
  // A crash may have come between the end of an owner and that of what it owned.
  await store.collectGarbage();
  return store;
}

/**
 * The objects are in memory, and on disk before a write is answered. Writes are done one after the other, so the order
 * of versions is the order of changes.
 */
class FolderStore implements EmbeddedStore {
  readonly #options: StoreOptions;
  readonly #counter: VersionCounter;
  readonly #objects = new Map<string, Stored>();
  readonly #history: History;
  #tail: Promise<unknown> = Promise.resolve();
  #version: number;

  constructor(options: StoreOptions, stored: Stored[], counter: VersionCounter) {
    this.#options = options;
    this.#counter = counter;
    this.#version = counter.current();
    this.#history = new History(this.#version, options.historySize);
    for (const entry of stored) this.#objects.set(idOf(refOf(entry.object)), entry);
  }

  async get<T extends KubeObject>(ref: ObjectRef): Promise<T | undefined> {
    const found = this.#objects.get(idOf(ref));
    return found && copy<T>(found.object);
  }

  async list<T extends KubeObject>(kind: string, { namespace, labels }: ListOptions = {}) {
    const items = [...this.#objects.values()]
      .map(({ object }) => object)
      .filter(
        (object) => object.kind === kind && (namespace ?? object.metadata.namespace) === object.metadata.namespace,
      )
      .filter((object) => hasLabels(object, labels))
      .sort((a, b) => (idOf(refOf(a)) < idOf(refOf(b)) ? -1 : 1));
    return { items: items.map((object) => copy<T>(object)), resourceVersion: String(this.#version) };
  }

  async *watch<T extends KubeObject>(kind: string, options: WatchOptions) {
    for await (const event of this.#history.watch(kind, options.resourceVersion, options.signal)) {
      const { type, object } = event as { type: "Added" | "Modified" | "Deleted"; object: T };
      if ((options.namespace ?? object.metadata.namespace) !== object.metadata.namespace) continue;
      if (hasLabels(object, options.labels)) yield { type, object };
      // It may have had them before.
      else if (type === "Modified") yield { type: "Deleted" as const, object };
    }
  }

  create<T extends KubeObject>(draft: Draft<T>): Promise<T> {
    return this.#serially(async () => {
      const object = plain(draft);
      if (this.#objects.has(idOf(refOf(object)))) throw new AlreadyExistsError(`${label(object)} already exists`);
      return copy<T>(await this.#insert(object));
    });
  }

  update<T extends KubeObject>(object: T): Promise<T> {
    return this.#serially(async () => {
      const next = plain(object);
      const { object: old, applied } = this.#existing(refOf(next));
      requireSame(old, next.metadata);
      const { finalizers = [], deletionTimestamp } = old.metadata;
      const added = next.metadata.finalizers?.filter((name) => !finalizers.includes(name)) ?? [];
      if (deletionTimestamp !== undefined && added.length > 0) {
        throw invalid(old, "metadata.finalizers", "none can be added once the deletion has begun");
      }
      return copy<T>(await this.#replace(old, content({ ...next, status: old["status"] }), applied));
    });
  }

  apply<T extends KubeObject>(configuration: ApplyConfiguration, options: { fieldManager: string }): Promise<T> {
    return this.#serially(async () => {
      const { config, applied, old, merged } = this.#merged(configuration, options);
      if (old === undefined) return copy<T>(await this.#insert(config, applied));
      return copy<T>(await this.#replace(old, merged, applied));
    });
  }

  preview(configuration: ApplyConfiguration, options: { fieldManager: string }): Promise<void> {
    return this.#serially(async () => {
      const { old, merged } = this.#merged(configuration, options);
      this.#admit(merged, old);
    });
  }

  /** What is there, and what it becomes when the configuration is applied. Throws ConflictError. */
  #merged(configuration: ApplyConfiguration, { fieldManager }: { fieldManager: string }) {
    const { status: _, ...stated } = withoutStringData(plain(configuration));
    const { uid, resourceVersion, ...metadata } = stated.metadata;
    const config = { ...stated, metadata };
    const applied = { manager: fieldManager, config };
    const stored = this.#objects.get(idOf(refOf(config)));
    if (stored === undefined) return { config, applied, old: undefined, merged: content(config as KubeObject) };

    const { object: old, applied: before } = stored;
    if (before !== undefined && before.manager !== fieldManager) {
      throw new ConflictError(`${label(old)} is managed by ${before.manager}; ${fieldManager} cannot apply to it`);
    }
    requireSame(old, { uid, resourceVersion });
    return { config, applied, old, merged: mergeApplied(old, before?.config ?? {}, config) as Content };
  }

  patchStatus<T extends KubeObject>(ref: ObjectRef, status: unknown, options: { resourceVersion?: string } = {}) {
    return this.#serially(async () => {
      const { object: old, applied } = this.#existing(ref);
      requireSame(old, options);
      const next = plain({ ...old, status }) as Content;
      if (isDeepStrictEqual(next, old)) return copy<T>(old);
      return copy<T>(await this.#write({ object: next, ...(applied && { applied }) }, "Modified"));
    });
  }

  delete(ref: ObjectRef, options: { uid?: string; resourceVersion?: string } = {}): Promise<void> {
    return this.#serially(async () => {
      const stored = this.#objects.get(idOf(ref));
      if (stored === undefined) return;
      requireSame(stored.object, options);
      await this.#delete(stored);
    });
  }

  async recordEvent(event: EventDraft): Promise<void> {
    try {
      await this.#serially(async () => {
        const events = [...this.#objects.values()].map(({ object }) => object).filter(({ kind }) => kind === "Event");
        const { object, expired } = countEvent(plain(event), events, new Date());
        for (const old of expired) await this.#remove(content(old));
        await (this.#objects.has(idOf(refOf(object)))
          ? this.#write({ object: content(object) }, "Modified")
          : this.#insert(object));
      });
    } catch (error) {
      this.#options.onError?.(error);
    }
  }

  async close(): Promise<void> {
    await this.#tail;
  }

  collectGarbage(): Promise<void> {
    return this.#serially(async () => {
      for (let found = this.#garbage(); found.length > 0; found = this.#garbage()) {
        for (const stored of found) await this.#delete(stored);
      }
    });
  }

  #garbage(): Stored[] {
    const all = [...this.#objects.values()];
    const doomed = garbage(all.map(({ object }) => object)).map((object) => idOf(refOf(object)));
    return doomed.map((id) => this.#objects.get(id)).filter((stored) => stored !== undefined);
  }

  async #insert(content: KubeObject | ApplyConfiguration, applied?: Stored["applied"]): Promise<Content> {
    const { finalizers, labels, annotations, ownerReferences, name, namespace } = content.metadata;
    const metadata: ObjectMeta = plain({
      ...{ name, namespace, uid: randomUUID(), resourceVersion: "", generation: 1, creationTimestamp: now() },
      ...{ finalizers, labels, annotations, ownerReferences },
    }) as ObjectMeta;
    const { status: _, ...rest } = content as Content;
    const object = plain(this.#admit({ ...rest, metadata }, undefined));
    return this.#write({ object, ...(applied && { applied }) }, "Added");
  }

  /** Keeps what the server owns, moves the generation with the content, and writes nothing when nothing differs. */
  async #replace(old: Content, next: Content, applied: Stored["applied"]): Promise<Content> {
    const { uid, resourceVersion, creationTimestamp, deletionTimestamp, generation } = old.metadata;
    const metadata = plain({
      ...next.metadata,
      ...{ uid, resourceVersion, creationTimestamp, deletionTimestamp, generation },
    }) as ObjectMeta;
    const admitted = plain(this.#admit({ ...next, metadata }, old));
    if (!isDeepStrictEqual(contentOf(admitted), contentOf(old))) admitted.metadata.generation += 1;
    const stored = { object: admitted, ...(applied && { applied }) };
    const present = this.#objects.get(idOf(refOf(old)));
    if (!isDeepStrictEqual(normal(admitted), normal(old))) {
      if (deletionTimestamp !== undefined && !admitted.metadata.finalizers?.length) return this.#remove(admitted);
      return this.#write(stored, "Modified");
    }
    if (!isDeepStrictEqual(present?.applied, applied)) await this.#save(stored);
    return old;
  }

  #admit(object: Content, old: Content | undefined): Content {
    const admitted = admitBuiltIn(object);
    return (this.#options.admit?.(admitted, old) as Content | undefined) ?? admitted;
  }

  async #delete({ object, applied }: Stored): Promise<void> {
    if (!object.metadata.finalizers?.length) {
      await this.#remove(object);
    } else if (object.metadata.deletionTimestamp === undefined) {
      const metadata = { ...object.metadata, deletionTimestamp: now() };
      await this.#write({ object: { ...object, metadata }, ...(applied && { applied }) }, "Modified");
    }
  }

  async #write(stored: Stored, type: "Added" | "Modified"): Promise<Content> {
    const version = await this.#counter.next();
    const metadata = { ...stored.object.metadata, resourceVersion: String(version) };
    const object = { ...stored.object, metadata };
    await this.#save({ ...stored, object });
    this.#version = version;
    this.#history.record({ version, type, object });
    if (type === "Added" && metadata.ownerReferences?.length) this.#collectLater();
    return object;
  }

  async #save(stored: Stored): Promise<void> {
    await writeDurably(objectPath(this.#options.dir, stored.object), JSON.stringify(stored));
    this.#objects.set(idOf(refOf(stored.object)), stored);
  }

  async #remove(object: Content): Promise<Content> {
    const version = await this.#counter.next();
    await removeDurably(objectPath(this.#options.dir, object));
    this.#objects.delete(idOf(refOf(object)));
    const last = { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } };
    this.#version = version;
    this.#history.record({ version, type: "Deleted", object: last });
    this.#collectLater();
    return last;
  }

  #collectLater(): void {
    setImmediate(() => this.collectGarbage().catch((error: unknown) => this.#options.onError?.(error)));
  }

  #existing(ref: ObjectRef): Stored {
    const stored = this.#objects.get(idOf(ref));
    if (stored === undefined) throw new NotFoundError(`${ref.kind} ${ref.namespace}/${ref.name} not found`);
    return stored;
  }

  #serially<T>(write: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(write);
    this.#tail = result.catch(() => undefined);
    return result;
  }
}

/** What the caller has seen must be what is there. */
function requireSame(old: Content, seen: { uid?: string | undefined; resourceVersion?: string | undefined }): void {
  const { uid, resourceVersion } = seen;
  if (uid !== undefined && uid !== old.metadata.uid) {
    throw new ConflictError(`${label(old)} has uid ${old.metadata.uid}, not ${uid}: it was deleted and made anew`);
  }
  if (resourceVersion !== undefined && resourceVersion !== old.metadata.resourceVersion) {
    throw new ConflictError(
      `${label(old)} is at ${old.metadata.resourceVersion}, not ${resourceVersion}: read it again`,
    );
  }
}

/** What the generation counts: the spec, or for kinds without one all but metadata and status. */
function contentOf({ metadata: _m, status: _s, spec, ...rest }: Content): unknown {
  return spec === undefined ? rest : spec;
}

/** Empty maps and lists of metadata mean the same as none. */
function normal(object: Content): unknown {
  const metadata = Object.entries(object.metadata).filter(([, value]) => !isEmpty(value));
  return { ...object, metadata: Object.fromEntries(metadata) };
}

const hasLabels = ({ metadata }: KubeObject, labels: Record<string, string> = {}) =>
  Object.entries(labels).every(([name, value]) => metadata.labels?.[name] === value);

const isEmpty = (value: unknown) => typeof value === "object" && value !== null && Object.keys(value).length === 0;

const invalid = (object: KubeObject, field: string, message: string) =>
  new InvalidError(`${label(object)} is invalid: ${field}: ${message}`, [{ field, message }]);

const label = ({ kind, metadata }: { kind: string; metadata: { namespace: string; name: string } }) =>
  `${kind} ${metadata.namespace}/${metadata.name}`;

const refOf = ({ kind, metadata }: { kind: string; metadata: { namespace: string; name: string } }): ObjectRef => ({
  kind,
  namespace: metadata.namespace,
  name: metadata.name,
});

const idOf = ({ kind, namespace, name }: ObjectRef) => `${kind}/${namespace}/${name}`;

const now = () => `${new Date().toISOString().slice(0, 19)}Z`;

const content = (object: KubeObject): Content => object as Content;

const copy = <T extends KubeObject>(object: KubeObject): T => structuredClone(object) as T;

/** As it will be read back: a copy without undefined members. */
const plain = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;
