import { binary, event, type HostileRecord, structuredEvent } from "../hostile/record.ts";
import type { Random } from "../stream/random.ts";
import type { Header } from "../support/reference-chain.ts";

/** Events of two tenants in both modes, with duplicates, conflicts and poison among them. `from`: the first one's number. */
export function someRecords(random: Random, from: number, count: number): HostileRecord[] {
  const records: HostileRecord[] = [];
  for (let n = from; n < from + count; n += 1) {
    // In twos, so that each of two partitions has every kind.
    const kind = Math.floor(n / 2) % 10;
    const old = records[Math.max(0, records.length - 4)];
    if (kind === 6 && old !== undefined) records.push(old);
    else if (kind === 7 && old !== undefined) records.push(withOtherBytes(old));
    else if (kind === 8) records.push(forTenant(n, { headers: [], value: Buffer.from(`{"id":"poison-${n}`) }));
    else records.push(forTenant(n, valid(random, n)));
  }
  return records;
}

function valid(random: Random, n: number): HostileRecord {
  const data = {
    actor: { type: "service", id: `actor-${n}` },
    action: random.pick(["read", "update"]),
    outcome: random.pick(["success", "denied"]),
    reason: `because of ${random.hex(6)}`,
    target: { type: "account", id: `acc-${random.hex(4)}` },
    amount: random.below(1_000_000),
  };
  const body = { ...event(`event-${n}`), subject: `subject/${n}`, data };
  if (n % 3 !== 0) {
    const { value, headers } = structuredEvent(body);
    return { value, headers: [...headers, ["x-trace", Buffer.from(random.hex(8))]] };
  }
  return binary(body.id, JSON.stringify(data), { subject: body.subject });
}

function forTenant(n: number, { value, headers }: HostileRecord): HostileRecord {
  const others = headers.filter(([name]) => name !== "audit-tenant");
  const tenant: Header = ["audit-tenant", Buffer.from(n % 4 < 2 ? "acme" : "umbrella")];
  return {
    value,
    headers: [...others, tenant, ["traceparent", Buffer.from(`00-${"4b".repeat(16)}-${"00f0".repeat(4)}-01`)]],
  };
}

const withOtherBytes = ({ value, headers }: HostileRecord): HostileRecord => ({
  headers,
  value: value && Buffer.concat([value, Buffer.from(" ")]),
});
