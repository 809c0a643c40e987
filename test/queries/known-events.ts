import type pg from "pg";
import { TENANT } from "../../hack/ledger-rows.ts";
import { eventKey } from "../support/reference-chain.ts";

/** Written by hand between the generated ones, whose actors, targets, types and actions they share with none. */
export const SOURCE = "/vaults";
export const TOPIC = "11111111-2222-4333-8444-555555555555";
export const TRACE = "0af7651916cd43dd8448eb211c80319c";

interface KnownEvent {
  readonly id: string;
  /** Null: the event names no time. */
  readonly occurred: string | null;
  readonly recorded: string;
  readonly outcome?: "success" | "failure" | "denied";
  readonly type?: string;
  readonly actor?: string;
  readonly targetType?: string;
  readonly trace?: string;
}

const EVENTS: readonly KnownEvent[] = [
  { id: "k-before", occurred: "2026-08-10 10:00:00", recorded: "2026-08-10 10:00:01", trace: TRACE },
  { id: "k-silent", occurred: null, recorded: "2026-08-31 18:00:00" },
  { id: "k-clock-ahead", occurred: "2026-09-01 00:00:30", recorded: "2026-08-31 23:59:59" },
  {
    id: "k-at-midnight",
    occurred: "2026-08-31 23:59:58",
    recorded: "2026-09-01 00:00:01",
    outcome: "denied",
    trace: TRACE,
  },
  { id: "k-late", occurred: "2026-08-31 12:00:00", recorded: "2026-09-02 09:00:00", outcome: "failure" },
  { id: "k-very-late", occurred: "2026-08-31 13:00:00", recorded: "2026-10-15 09:00:00" },
  {
    id: "k-other",
    occurred: "2026-08-31 15:00:00",
    recorded: "2026-08-31 15:00:02",
    actor: "trent",
    type: "org.example.door-opened",
    targetType: "door",
  },
];

export const isKnown = (id: unknown) => typeof id === "string" && /^(k-|0-\d)/.test(id);

export async function insertKnownEvents(client: pg.Client): Promise<void> {
  for (const [offset, event] of EVENTS.entries()) {
    const { id, occurred, recorded, outcome = "success", actor = "mallory", targetType = "vault", trace } = event;
    const { type = "org.example.vault-opened" } = event;
    const hash = Buffer.alloc(32, offset);
    const at = `${recorded}+00`;
    await client.query(
      `INSERT INTO audit.events (tenant, source, id, type, event_time, recorded_at, topic_id, partition, "offset",
         actor_type, actor_id, action, outcome, target_type, target_id, trace_id, raw, headers, sha256, chain)
       VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, 'user', $9, 'open-vault', $10, $11, 'vault-7', $12, '', '', $13, $13)`,
      [
        TENANT,
        SOURCE,
        id,
        type,
        occurred === null ? null : `${occurred}+00`,
        at,
        TOPIC,
        offset,
        actor,
        outcome,
        targetType,
        trace,
        hash,
      ],
    );
    await client.query("INSERT INTO audit.event_ids VALUES ($1, $2, $3)", [eventKey(TENANT, SOURCE, id), hash, at]);
  }
}
