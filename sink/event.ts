/** An event as the ledger holds it: columns, the bytes as they came, and what identifies it. */
export interface AuditEvent {
  readonly tenant: string;
  readonly source: string;
  readonly id: string;
  readonly type: string;
  readonly subject: string | null;
  /** Microseconds since 1970; null only in profile CloudEvent. */
  readonly eventTime: bigint | null;
  readonly actorType: string | null;
  readonly actorId: string | null;
  readonly action: string | null;
  readonly outcome: string | null;
  readonly reason: string | null;
  readonly targetType: string | null;
  readonly targetId: string | null;
  readonly traceId: string | null;
  /** The whole of data as JSON text, cut out of the original bytes; null where jsonb refuses it or data is not JSON. */
  readonly details: Buffer | null;
  /** The record's value, byte for byte. */
  readonly raw: Buffer;
  /** The record's headers in order, in the encoding of contracts.md. */
  readonly headers: Buffer;
  readonly sha256: Buffer;
  /** Identity of (tenant, source, id): 16 bytes, the key of the id ledger. */
  readonly key: Buffer;
}

export type ErrorClass = "Malformed" | "Invalid" | "TooLarge" | "Unstorable";

export type ErrorReason =
  | "InvalidUtf8"
  | "InvalidJson"
  | "UnsupportedSpecVersion"
  | "MissingAttribute"
  | "MissingField"
  | "InvalidValue"
  | "InvalidTime"
  | "MissingTenant"
  | "TooLarge"
  | "StoreRejected"
  /** A fault of ours that this record brought to light. */
  | "DecoderFailed";

/** Why a record cannot become an event. `detail` names the field and the rule, never the payload. */
export interface Rejection {
  readonly class: ErrorClass;
  readonly reason: ErrorReason;
  readonly detail: string;
}

export type Decoded =
  | { readonly kind: "Event"; readonly event: AuditEvent }
  | {
      readonly kind: "Rejected";
      readonly rejection: Rejection;
      /** Empty where it is not known. */
      readonly tenant: string;
      readonly sha256: Buffer;
    };

/** Thrown inside the codec only, and turned into a `Decoded` at its edge. */
export class RejectedError extends Error {
  override readonly name = "RejectedError";
  readonly rejection: Rejection;

  constructor(errorClass: ErrorClass, reason: ErrorReason, detail: string) {
    super(detail);
    this.rejection = { class: errorClass, reason, detail };
  }
}
