/**
 * The narrow port through which the reconciler talks to Kubernetes. Two implementations: the API server, and the
 * embedded store of standalone. One contract suite (`test/contract/object-store.contract.ts`) runs on both.
 */

export interface OwnerReference {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  controller?: boolean;
  blockOwnerDeletion?: boolean;
}

export interface ObjectMeta {
  name: string;
  namespace: string;
  uid: string;
  /** Opaque: compare for equality only. */
  resourceVersion: string;
  /** Moves when the spec changes; never on status or metadata. Of no meaning for kinds without a spec. */
  generation: number;
  /** RFC 3339, seconds. */
  creationTimestamp: string;
  deletionTimestamp?: string;
  finalizers?: string[];
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: OwnerReference[];
}

export interface KubeObject {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
}

/** What a caller hands in: the server fills the rest of the metadata. */
export type Draft<T extends KubeObject> = Omit<T, "metadata" | "status"> & {
  metadata: Partial<ObjectMeta> & { name: string; namespace: string };
};

/** Apply states only what the field manager wants; lists of containers, env, ports and conditions merge by key. */
export type ApplyConfiguration = {
  apiVersion: string;
  kind: string;
  metadata: Partial<ObjectMeta> & { name: string; namespace: string };
} & Record<string, unknown>;

export interface ObjectRef {
  kind: string;
  namespace: string;
  name: string;
}

export interface ListOptions {
  /** All namespaces when absent. */
  namespace?: string;
  /** Equality only. */
  labels?: Record<string, string>;
}

export interface WatchOptions extends ListOptions {
  /** Of the list that the watch goes on from. */
  resourceVersion: string;
  signal: AbortSignal;
}

/** What a watch tells of the objects that were asked for; one that lost a label asked for is told as deleted. */
export type WatchEvent<T extends KubeObject = KubeObject> =
  | { type: "Added" | "Modified" | "Deleted"; object: T }
  /** Nothing changed, but everything up to this version has been delivered. */
  | { type: "Bookmark"; resourceVersion: string };

export interface EventDraft {
  regarding: { kind: string; namespace: string; name: string; uid: string };
  type: "Normal" | "Warning";
  /** The same CamelCase words as the condition reasons. */
  reason: string;
  /** What was being done: Reconcile, Delete, ... */
  action: string;
  note: string;
}

export interface ObjectStore {
  get<T extends KubeObject>(ref: ObjectRef): Promise<T | undefined>;
  list<T extends KubeObject>(kind: string, options?: ListOptions): Promise<{ items: T[]; resourceVersion: string }>;
  /** Ordered, each change once, from after `resourceVersion`; throws GoneError when that is too old. Ends on abort. */
  watch<T extends KubeObject>(kind: string, options: WatchOptions): AsyncIterable<WatchEvent<T>>;
  /** Throws AlreadyExistsError. */
  create<T extends KubeObject>(object: Draft<T>): Promise<T>;
  /** Spec and metadata; status is left as it is. Throws ConflictError when the object moved on, NotFoundError when gone. */
  update<T extends KubeObject>(object: T): Promise<T>;
  /** Server-side apply. Creates what is missing; a second field manager is refused. Writes nothing when nothing differs. */
  apply<T extends KubeObject>(object: ApplyConfiguration, options: { fieldManager: string }): Promise<T>;
  /** Replaces `status`. With `resourceVersion` the write is conditional (ConflictError). */
  patchStatus<T extends KubeObject>(
    ref: ObjectRef,
    status: unknown,
    options?: { resourceVersion?: string },
  ): Promise<T>;
  /** Sets the deletionTimestamp while finalizers are left, else removes. Gone already: succeeds. */
  delete(ref: ObjectRef, options?: { uid?: string; resourceVersion?: string }): Promise<void>;
  /** Events of one (regarding, reason, note) are counted in one object. Never throws. */
  recordEvent(event: EventDraft): Promise<void>;
}

/** The object moved on since it was read (409 Conflict). */
export class ConflictError extends Error {
  override readonly name = "ConflictError";
}
/** 409 AlreadyExists. */
export class AlreadyExistsError extends Error {
  override readonly name = "AlreadyExistsError";
}
/** 404. */
export class NotFoundError extends Error {
  override readonly name = "NotFoundError";
}
/** 410: the watch's resourceVersion is too old; list again. */
export class GoneError extends Error {
  override readonly name = "GoneError";
}
export interface InvalidCause {
  readonly field: string;
  readonly message: string;
  /** Where the two are known apart. */
  readonly found?: string;
  readonly allowed?: string;
}

/** 422: `causes` names each field. */
export class InvalidError extends Error {
  override readonly name = "InvalidError";
  readonly causes: readonly InvalidCause[];
  constructor(message: string, causes: readonly InvalidCause[]) {
    super(message);
    this.causes = causes;
  }
}
