/** The events of the demo, as lines for Kafka's console producer, and what must become of them. */

export interface DemoEvent {
  readonly key: string;
  readonly value: string;
}

const event = (id: string, over: Record<string, unknown> = {}) => ({
  specversion: "1.0",
  id,
  source: "/payments",
  type: "com.example.payment.approved",
  time: "2026-11-20T09:30:00Z",
  data: {
    actor: { id: `u-${id.length}`, type: "user" },
    action: "approve",
    outcome: "success",
    target: { type: "payment", id },
  },
  ...over,
});

const valid = (count: number): DemoEvent[] =>
  Array.from({ length: count }, (_, index) => {
    const id = `pay-${index + 1}`;
    return { key: id, value: JSON.stringify(event(id)) };
  });

/** A number beyond 2^53, 1.10, a key twice, an escape that need not be one: JSON.parse and stringify change each. */
export const DELICATE: DemoEvent = {
  key: "delicate",
  value:
    '{"specversion":"1.0","id":"delicate","source":"/payments","type":"com.example.payment.refunded",' +
    '"time":"2026-11-20T09:30:00+01:00","data":{"actor":{"id":"u-9"},"action":"refund","outcome":"denied",' +
    '"amount":1.10,"account":9007199254740993,"note":"caf\\u00e9","note":"caf\\u00e9 \\/ twice"}}',
};

export const CONFLICTING_ID = "pay-1";

/** Same id as the first event, another amount: kept, and not in its place. */
const conflict: DemoEvent = {
  key: CONFLICTING_ID,
  value: JSON.stringify(event(CONFLICTING_ID, { data: { ...event(CONFLICTING_ID).data, outcome: "denied" } })),
};

const withoutActor = JSON.stringify(event("no-actor", { data: { action: "approve", outcome: "success" } }));
const withoutZone = JSON.stringify(event("no-zone", { time: "2026-11-20 09:30:00" }));

const malformed: readonly (DemoEvent & { reason: string })[] = [
  { key: "m1", value: "this is not JSON", reason: "InvalidJson" },
  { key: "m2", value: withoutActor, reason: "MissingField" },
  { key: "m3", value: withoutZone, reason: "InvalidTime" },
];

/** Everything that is sent, and the sums that must come out. */
export function demoEvents(count: number) {
  const events = valid(count);
  const duplicates = events.slice(0, 5);
  return {
    sent: [...events, ...duplicates, conflict, DELICATE, ...malformed],
    stored: count + 1,
    duplicates: duplicates.length,
    conflicts: 1,
    deadLetters: malformed.map(({ reason }) => reason).sort(),
  };
}

export const producerLine = ({ key, value }: DemoEvent) =>
  `content-type:application/cloudevents+json\t${key}\t${value}`;
