import { AlreadyExistsError, ConflictError, GoneError, InvalidError, NotFoundError } from "../runtime/object-store.ts";

/** metav1.Status, as far as it is read. */
export interface ApiStatus {
  readonly code?: number;
  readonly reason?: string;
  readonly message?: string;
  readonly details?: {
    readonly causes?: readonly { readonly reason?: string; readonly field?: string; readonly message?: string }[];
    readonly retryAfterSeconds?: number;
  };
}

/** An answer that none of the port's errors stands for: 401, 403, 429, 500, ... */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly code: number;
  readonly reason: string;
  constructor(code: number, reason: string, message: string) {
    super(message);
    this.code = code;
    this.reason = reason;
  }
}

/** 409 of a server-side apply without force: other field managers hold fields that were stated. */
export class FieldConflictError extends ConflictError {
  /** Names of the managers, as far as the server told them. */
  readonly managers: readonly string[];
  constructor(message: string, managers: readonly string[]) {
    super(message);
    this.managers = managers;
  }
}

/**
 * The port's error for an answer of the API server.
 *
 * @param what the request, as `PATCH /apis/...`: the server's own message does not always say
 */
export function errorOf(code: number, status: ApiStatus, what: string): Error {
  const { reason = "Unknown", details } = status;
  const message = status.message ?? `${what} was answered ${code}`;
  // Only a Status says that an object is gone. A path that nobody serves (a CRD that is missing, a proxy) is no deletion.
  if (code === 404 && reason === "NotFound") return new NotFoundError(message);
  if (code === 409 && reason === "AlreadyExists") return new AlreadyExistsError(message);
  if (code === 409) return conflictOf(message, details);
  if (code === 410) return new GoneError(message);
  if (code === 422) {
    const causes = (details?.causes ?? []).map(({ field = "", message: text = "" }) => ({ field, message: text }));
    return new InvalidError(message, causes);
  }
  return new ApiError(code, reason, message);
}

/** A conflict names its manager in words only: `conflict with "kubectl-edit" using apps/v1`. */
function conflictOf(message: string, details: ApiStatus["details"]): Error {
  const causes = (details?.causes ?? []).filter(({ reason }) => reason === "FieldManagerConflict");
  if (causes.length === 0) return new ConflictError(message);
  const managers = causes.flatMap(({ message: text = "" }) => /^conflict with "([^"]*)"/.exec(text)?.[1] ?? []);
  return new FieldConflictError(message, managers);
}
