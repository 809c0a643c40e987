import { stringify } from "yaml";
import type { AuditPipelineStatus } from "../../crds/v1alpha1/audit-pipeline.ts";
import type { KubeObject } from "../runtime/object-store.ts";
import type { Client } from "./client.ts";
import { since } from "./columns.ts";
import { countOf, lastSeen, type ShownEvent } from "./event-times.ts";
import { getOne, type Scope, type Target } from "./get.ts";
import { renderTable } from "./output.ts";

/** `describe KIND NAME`: the object and its events. Of a Secret the sizes, never the values. */
export async function describe(client: Client, target: Target, scope: Scope): Promise<string> {
  const object = await getOne(client, target, scope);
  const events = await client.list<ShownEvent>("Event", { namespace: scope.namespace });
  const own = events.items.filter(({ regarding }) => regarding?.uid === object.metadata.uid);
  return renderDescription(object, own, Date.now());
}

/** Pure. */
export function renderDescription(object: KubeObject, events: readonly ShownEvent[], now: number): string {
  const { kind, apiVersion, metadata, ...content } = object as KubeObject & Record<string, unknown>;
  const { name, namespace, labels, annotations, creationTimestamp, deletionTimestamp, finalizers, generation } =
    metadata;
  const head = {
    ...{ Name: name, Namespace: namespace, Kind: kind, "API Version": apiVersion },
    ...{
      Labels: labels,
      Annotations: annotations,
      Created: `${creationTimestamp} (${since(creationTimestamp, now)} ago)`,
    },
    ...{ Deleting: deletionTimestamp && `since ${deletionTimestamp}`, Finalizers: finalizers, Generation: generation },
  };
  const shown = kind === "Secret" ? { ...content, data: sizes(content["data"]) } : content;
  const { plan, rest } = withoutPlan(shown);
  const body = Object.fromEntries(Object.entries(rest).map(([field, value]) => [capital(field), value]));
  return stringify({ ...head, ...body }, { lineWidth: 0 }) + renderPlan(plan) + renderEvents(events, now);
}

type PlanItem = NonNullable<AuditPipelineStatus["teardownPlan"]>[number];

/** A table of its own says it better than YAML. */
function withoutPlan(content: Record<string, unknown>): { plan: readonly PlanItem[]; rest: Record<string, unknown> } {
  const { teardownPlan = [], ...status } = (content["status"] ?? {}) as AuditPipelineStatus;
  return teardownPlan.length === 0 ? { plan: [], rest: content } : { plan: teardownPlan, rest: { ...content, status } };
}

function renderPlan(plan: readonly PlanItem[]): string {
  if (plan.length === 0) return "";
  const rows = plan.map(({ action, kind, name, reason }) => ["  ", action, kind, name, reason]);
  return `If it were deleted now:\n${renderTable([["  ", "ACTION", "KIND", "NAME", "WHY"], ...rows])}`;
}

function sizes(data: unknown): Record<string, string> {
  const entries = Object.entries((data ?? {}) as Record<string, string>);
  return Object.fromEntries(entries.map(([key, value]) => [key, `${Buffer.from(value, "base64").length} bytes`]));
}

function renderEvents(events: readonly ShownEvent[], now: number): string {
  if (events.length === 0) return "Events: none\n";
  const rows = events
    .toSorted((a, b) => Date.parse(lastSeen(a)) - Date.parse(lastSeen(b)))
    .map((event) => {
      const { type = "", reason = "", note = "" } = event;
      return ["  ", type, reason, `${since(lastSeen(event), now)} (x${countOf(event)})`, note];
    });
  return `Events:\n${renderTable([["  ", "TYPE", "REASON", "AGE", "MESSAGE"], ...rows])}`;
}

const capital = (field: string) => field.charAt(0).toUpperCase() + field.slice(1);
