import { z } from "zod";
import { type Rule, withRules } from "../rules.ts";

export const GROUP = "auditpipeline.io";
export const VERSION = "v1alpha1";
export const API_VERSION = `${GROUP}/${VERSION}` as const;
export const CATEGORY = "audit";

/** What the API server keeps about an object. The operator's own object store hands out the same shape. */
export interface ResourceMetadata {
  name: string;
  namespace: string;
  uid: string;
  resourceVersion: string;
  generation: number;
  creationTimestamp: string;
  deletionTimestamp?: string;
  finalizers?: string[];
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: {
    apiVersion: string;
    kind: string;
    name: string;
    uid: string;
    controller?: boolean;
    blockOwnerDeletion?: boolean;
  }[];
}

/** Annotations are the verbs of the API. */
export const ANNOTATIONS = {
  paused: `${GROUP}/paused`,
  reconcileAt: `${GROUP}/reconcile-at`,
  rotateAt: `${GROUP}/rotate-at`,
  confirmDelete: `${GROUP}/confirm-delete`,
  confirmRetention: `${GROUP}/confirm-retention`,
  acceptTopicId: `${GROUP}/accept-topic-id`,
  adminAddress: `${GROUP}/admin-address`,
} as const;

export const ANNOTATION_MEANINGS: Record<(typeof ANNOTATIONS)[keyof typeof ANNOTATIONS], string> = {
  [ANNOTATIONS.paused]: '`"true"` on a resource: it is watched and reported, and nothing is written for it.',
  [ANNOTATIONS.reconcileAt]: "Any new value on a resource starts a reconcile now.",
  [ANNOTATIONS.rotateAt]:
    "Any new value on a pipeline replaces the PostgreSQL logins of all its sinks and its own user in Kafka now; the ones before stay good for their overlap.",
  [ANNOTATIONS.confirmDelete]:
    "The resource's own name as the value: its deletion may destroy audit data where a deletionPolicy says Delete.",
  [ANNOTATIONS.confirmRetention]:
    "On an AuditPipeline, `<sink>=<months>`, several with commas: a retention of so many months may drop several months of that sink at once.",
  [ANNOTATIONS.acceptTopicId]:
    "Kafka's id of a topic (several with commas) that took the place of the one an AuditTopic knew: it is accepted, and DriftDetected has been seen.",
  [ANNOTATIONS.adminAddress]: "On a pod of standalone: where its health and metrics are served. Written by the runner.",
};

// Largest unit first, each at most once; the digits are bounded so that the sum fits Go's int64 nanoseconds.
const DURATION = "([0-9]{1,6}h)?([0-9]{1,7}m)?([0-9]{1,9}s)?([0-9]{1,9}ms)?";
export const DURATION_PATTERN = `^${DURATION}$`;
export const DURATION_OR_UNLIMITED_PATTERN = `^(Unlimited|${DURATION})$`;
export const QUANTITY_PATTERN = "^[0-9]{1,16}(k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$";

const DURATION_TEXT = "hours, minutes, seconds, milliseconds, largest first, as in 168h, 1h30m or 500ms";
const QUANTITY_TEXT = "whole bytes with k, M, G, T, P, Ki, Mi, Gi, Ti or Pi, as in 512Ki or 8Mi";
const LABEL_TEXT = "lower case letters, digits and -, first and last a letter or digit";

/** `"30s"`, `"168h"`, `"1h30m"` → whole milliseconds, exactly. Throws RangeError on anything else. */
export function parseDurationMs(text: string): number {
  const parts = text === "" ? null : new RegExp(DURATION_PATTERN).exec(text);
  if (parts === null) {
    throw new RangeError(`${JSON.stringify(text)} is not a duration: ${DURATION_TEXT}`);
  }
  const amount = (unit: number) => Number.parseInt(parts[unit] ?? "0", 10);
  return amount(1) * 3_600_000 + amount(2) * 60_000 + amount(3) * 1_000 + amount(4);
}

const BYTES: Record<string, bigint> = {
  k: 1_000n,
  M: 1_000_000n,
  G: 1_000_000_000n,
  T: 1_000_000_000_000n,
  P: 1_000_000_000_000_000n,
  Ki: 1n << 10n,
  Mi: 1n << 20n,
  Gi: 1n << 30n,
  Ti: 1n << 40n,
  Pi: 1n << 50n,
};

/** `"8Mi"`, `"1G"`, `"512"` → bytes, exactly. Throws RangeError on anything else, and beyond 2^53 - 1. */
export function parseQuantityBytes(text: string): number {
  const parts = /^([0-9]{1,16})([kMGTP]|[KMGTP]i)?$/.exec(text);
  const bytes = parts === null ? undefined : BigInt(parts[1] ?? "0") * (BYTES[parts[2] ?? ""] ?? 1n);
  if (bytes === undefined || bytes > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new RangeError(`${JSON.stringify(text)} is not a size: ${QUANTITY_TEXT}, below 8Pi`);
  }
  return Number(bytes);
}

const between = (low: string, high: string, parse: (text: string) => number, text: string) => {
  try {
    return parse(text) >= parse(low) && parse(text) <= parse(high);
  } catch {
    return false;
  }
};

const durationBetween = (low: string, high: string): Rule<string> => ({
  kind: "Value",
  cel: `duration(self) >= duration('${low}') && duration(self) <= duration('${high}')`,
  message: `must be from ${low} to ${high}`,
  holds: (self) => between(low, high, parseDurationMs, self),
});

const quantityBetween = (low: string, high: string): Rule<string> => ({
  kind: "Value",
  cel: `quantity(self).compareTo(quantity('${low}')) >= 0 && quantity(self).compareTo(quantity('${high}')) <= 0`,
  message: `must be from ${low} to ${high}`,
  holds: (self) => between(low, high, parseQuantityBytes, self),
});

/** A Go-style duration. */
export const duration = (low: string, high: string) =>
  withRules(z.string().min(2).max(32).regex(new RegExp(DURATION_PATTERN), DURATION_TEXT), durationBetween(low, high));

/** A duration, or the word Unlimited. */
export const durationOrUnlimited = (low: string, high: string) =>
  withRules(
    z.string().min(2).max(32).regex(new RegExp(DURATION_OR_UNLIMITED_PATTERN), `Unlimited, or ${DURATION_TEXT}`),
    {
      kind: "Value",
      cel: `self == 'Unlimited' || (duration(self) >= duration('${low}') && duration(self) <= duration('${high}'))`,
      message: `must be Unlimited, or from ${low} to ${high}`,
      holds: (self) => self === "Unlimited" || between(low, high, parseDurationMs, self),
    },
  );

/** A whole number of bytes, as a Kubernetes quantity. */
export const quantity = (low: string, high: string) =>
  withRules(z.string().min(1).max(20).regex(new RegExp(QUANTITY_PATTERN), QUANTITY_TEXT), quantityBetween(low, high));

/** RFC 1123 label. */
export const dnsLabel = (maxLength: number) =>
  z
    .string()
    .min(1)
    .max(maxLength)
    .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/, LABEL_TEXT);

/** RFC 1123 subdomain: what the API server takes as metadata.name. */
export const dnsSubdomain = () =>
  z
    .string()
    .min(1)
    .max(253)
    .regex(
      /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/,
      `${LABEL_TEXT}; parts separated by dots`,
    );

/** A back-end of the operator's configuration. */
export const backendRef = (what: string) =>
  z
    .strictObject({
      name: dnsLabel(63)
        .default("default")
        .describe(`Name of a ${what} back-end in the operator's configuration. Default default; immutable.`),
    })
    .optional()
    .describe(`The ${what} back-end. Default the one named default, unless there is a connection; immutable.`);

/** What happens at deletion to something the operator made. */
export const keepOrDelete = z.enum(["Retain", "Delete"]);

/** Whether the operator created an object, or took over one that carries its marker. */
export const ownership = z.enum(["Created", "Adopted"]);
/** A topic may also be somebody else's, and only be looked at. */
export const topicOwnership = z.enum(["Created", "Adopted", "Observed"]);
