import { createHash } from "node:crypto";
import type { AuditPipeline } from "../../crds/v1alpha1/audit-pipeline.ts";
import { ANNOTATIONS, parseDurationMs } from "../../crds/v1alpha1/shared.ts";
import type { Rotation } from "../desired/rotation.ts";
import type { Deps } from "./deps.ts";

/** What a spec and the annotation rotate-at ask for, as of now. */
export function rotationNow(
  { metadata }: AuditPipeline,
  { interval, overlap }: { readonly interval?: string | undefined; readonly overlap: string },
  { now }: Deps,
): Rotation {
  const request = metadata.annotations?.[ANNOTATIONS.rotateAt];
  return {
    nowMs: now().getTime(),
    overlapMs: parseDurationMs(overlap),
    intervalMs: interval === undefined ? undefined : parseDurationMs(interval),
    // Whatever people write there, a few characters of a comment or an annotation.
    request: request === undefined ? undefined : createHash("sha256").update(request).digest("hex").slice(0, 16),
  };
}
