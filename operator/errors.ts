/**
 * What a failed step means for the next one. Adapters in `external/` throw one of these two, or let anything else
 * through: anything else is retried with exponential back-off.
 *
 * `reason` is a condition reason of `crds/v1alpha1/conditions.ts`; `message` is shown to the user and never holds a secret.
 */
export class WaitingError extends Error {
  override readonly name = "WaitingError";
  readonly reason: string;
  readonly requeueAfterMs: number;

  /** A dependency is not there yet (a back-end down, a Secret missing): look again after `requeueAfterMs`. */
  constructor(reason: string, message: string, options: { requeueAfterMs?: number; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.reason = reason;
    this.requeueAfterMs = options.requeueAfterMs ?? 5_000;
  }
}

/** Retrying cannot help: only a change of the spec, or of who owns an object outside, does. */
export class StalledError extends Error {
  override readonly name = "StalledError";
  readonly reason: string;

  constructor(reason: string, message: string, options: { cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.reason = reason;
  }
}
