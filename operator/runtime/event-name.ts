import { createHash } from "node:crypto";
import type { EventDraft } from "./object-store.ts";

/** The same for the same (regarding, reason, note), so that a repetition finds the first and is counted in it. */
export function eventName({ regarding, reason, note }: EventDraft): string {
  const hash = createHash("sha256")
    .update(JSON.stringify([regarding.uid, regarding.kind, reason, note]))
    .digest("hex");
  return `${regarding.name.slice(0, 200).replace(/[-.]+$/, "")}.${hash.slice(0, 16)}`;
}

/** metav1.MicroTime: RFC 3339 with microseconds, of which our clocks know the first three digits. */
export const microTime = (time: Date) => time.toISOString().replace("Z", "000Z");
