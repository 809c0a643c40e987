import type { Logger } from "pino";
import type { EventDraft, KubeObject, ObjectStore } from "./object-store.ts";
import type { Problem } from "./problems.ts";

/** A resource of the controller's own kind. */
export interface Key {
  namespace: string;
  name: string;
}

/** What every reconcilable resource has beside its own fields. */
export type Resource = KubeObject & { spec?: unknown; status?: unknown };

/** What a pass found out. A controller extends it with the facts its `status` needs. */
export interface Outcome {
  /** Look again after this long; default the reconciler's `interval`. Jitter is added by the loop. */
  readonly requeueAfterMs?: number;
  /**
   * What stood in the way of single parts while the pass went on with the others. One that is `Failed` brings the
   * resource back with back-off, and no later than `requeueAfterMs`.
   */
  readonly problems?: readonly Problem[];
}

/** What `status` is built from. */
export type Result<O extends Outcome> =
  | { kind: "Reconciled"; outcome: O }
  /** `reconcile` threw: WaitingError, StalledError or anything else. */
  | { kind: "Failed"; error: unknown }
  /** `finalize` threw, so the resource stays. */
  | { kind: "FinalizeBlocked"; error: unknown }
  /** The annotation `<group>/paused` is set: nothing was looked at. */
  | { kind: "Paused" };

/** What the loop hands to one pass over one resource. */
export interface Tools<R extends Resource> {
  readonly store: ObjectStore;
  /** Carries controller, namespace and name. */
  readonly log: Logger;
  /** Aborted when the process stops or the pass takes too long: it should then end soon, at a safe point. */
  readonly signal: AbortSignal;
  /**
   * Writes `status` now, in the middle of a pass: for an intent that must survive a crash between it and the act.
   * Conditional on the version this pass has seen (throws ConflictError, which ends the pass and requeues). Answers the
   * resource as written; `status` at the end is given that one.
   */
  saveStatus(status: unknown): Promise<R>;
  /** Besides the event on each change of Ready's reason, which the loop records. Never throws. */
  recordEvent(event: Omit<EventDraft, "regarding">): Promise<void>;
}

/** Another kind whose changes (status too) wake resources of this controller. */
export interface SecondaryWatch {
  kind: string;
  /** Only objects with these labels; what somebody else's controllers do is then not even sent to us. */
  labels?: Record<string, string>;
  /** The object as it is now, or as it last was when deleted. */
  map(object: KubeObject, store: ObjectStore): readonly Key[] | Promise<readonly Key[]>;
}

/** What work beside the loop is given. */
export interface BackgroundTools {
  readonly store: ObjectStore;
  readonly log: Logger;
  readonly signal: AbortSignal;
  wake(key: Key): void;
}

/**
 * What a controller knows of its kind; everything else (watch, queue, finalizer, status write, back-off) is the loop's.
 *
 * How a pass ends decides when the next comes: an Outcome: after `requeueAfterMs` or `interval`; WaitingError: after its
 * own time; StalledError: when generation or annotations change, or at the long resync; anything else: exponential
 * back-off. A change of the resource's own status wakes nothing.
 */
export interface Reconciler<R extends Resource, O extends Outcome = Outcome> {
  readonly kind: string;
  /** Set before the first `reconcile`, taken off after `finalize`. Absent: a deletion is nothing to act on. */
  readonly finalizer?: string;
  readonly watches?: readonly SecondaryWatch[];
  /** Idempotent, level-based. Never retries by itself. */
  reconcile(resource: R, tools: Tools<R>): Promise<O>;
  /** Runs while the deletionTimestamp is set, again until it answers "done"; throws when something holds it up. */
  finalize?(resource: R, tools: Tools<R>): Promise<"done">;
  /** Pure. The next status; `undefined` leaves it as it is. Written only when it differs (deeply) from the present one. */
  status(resource: R, result: Result<O>): unknown;
  /** Milliseconds between passes while nothing happens. */
  interval(resource: R): number;
  /** Runs beside the loop, restarted with back-off when it throws: timers and pollers that wake resources. */
  background?(tools: BackgroundTools): Promise<void>;
}
