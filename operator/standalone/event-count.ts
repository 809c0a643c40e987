import { eventName, microTime } from "../runtime/event-name.ts";
import type { EventDraft, KubeObject } from "../runtime/object-store.ts";
import { kinds } from "./kinds.ts";

/** As an API server keeps events: for a while, and not without bound. */
const maxAgeMs = 24 * 3_600_000;
const maxEvents = 1_000;

/** An event as `get events` shows it; one object per (regarding, reason, note). */
export interface CountedEvent extends KubeObject {
  regarding: EventDraft["regarding"];
  type: EventDraft["type"];
  reason: string;
  action: string;
  note: string;
  /** RFC 3339, microseconds. */
  eventTime: string;
  series: { count: number; lastObservedTime: string };
}

/** The event object after this occurrence, and the events that are too old or too many to keep. Pure. */
export function countEvent(
  draft: EventDraft,
  events: readonly KubeObject[],
  now: Date,
): { object: CountedEvent; expired: KubeObject[] } {
  const name = eventName(draft);
  const before = events.find(
    ({ metadata }) => metadata.name === name && metadata.namespace === draft.regarding.namespace,
  );
  const { count } = (before as CountedEvent | undefined)?.series ?? { count: 0 };
  const object: CountedEvent = {
    ...((before as CountedEvent | undefined) ?? fresh(draft, name, now)),
    action: draft.action,
    series: { count: count + 1, lastObservedTime: microTime(now) },
  };
  const others = events.filter((event) => event !== before) as CountedEvent[];
  const byAge = others.sort((a, b) => (a.series.lastObservedTime < b.series.lastObservedTime ? 1 : -1));
  const oldest = microTime(new Date(now.getTime() - maxAgeMs));
  const expired = byAge.filter(({ series }, index) => index >= maxEvents - 1 || series.lastObservedTime < oldest);
  return { object, expired };
}

function fresh(draft: EventDraft, name: string, now: Date): CountedEvent {
  return {
    apiVersion: kinds.Event,
    kind: "Event",
    // The store gives uid, version and creation time.
    metadata: { name, namespace: draft.regarding.namespace } as KubeObject["metadata"],
    ...draft,
    eventTime: microTime(now),
    series: { count: 0, lastObservedTime: microTime(now) },
  };
}
