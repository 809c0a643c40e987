import { PIPELINE_COLUMNS, type PrinterColumn, TOPIC_COLUMNS } from "../../crds/v1alpha1/printer-columns.ts";
import type { KubeObject } from "../runtime/object-store.ts";
import type { CountedEvent } from "../standalone/event-count.ts";
import type { Deployment, Pod } from "../standalone/workload-types.ts";
import { jsonPath } from "./json-path.ts";

export interface Column {
  name: string;
  /** The cell's text; `now` is in milliseconds. */
  cell(object: KubeObject, now: number): string;
  /** Shown with `-o wide` alone. */
  wide?: boolean;
}

/** The columns of a kind, as kubectl prints them, after NAME. */
export function columnsOf(kind: string): Column[] {
  return builtIn[kind] ?? [age];
}

const age: Column = { name: "AGE", cell: ({ metadata }, now) => since(metadata.creationTimestamp, now) };

const column = <T extends KubeObject>(name: string, cell: (object: T, now: number) => string | number): Column => ({
  name,
  cell: (object, now) => String(cell(object as T, now)),
});

const printed = ({ name, type, jsonPath: path, priority = 0 }: PrinterColumn): Column => ({
  name: name.toUpperCase(),
  cell: (object, now) => {
    const values = jsonPath(object, path).map((value) => (typeof value === "string" ? value : JSON.stringify(value)));
    return type === "date" ? since(values[0] ?? "", now) : values.join(",");
  },
  wide: priority > 0,
});

const count = (object: KubeObject & { data?: object }) => Object.keys(object.data ?? {}).length;

const builtIn: Record<string, Column[]> = {
  AuditTopic: TOPIC_COLUMNS.map(printed),
  AuditPipeline: PIPELINE_COLUMNS.map(printed),
  Deployment: [
    column<Deployment>("READY", ({ spec, status }) => `${status?.readyReplicas ?? 0}/${spec.replicas ?? 1}`),
    column<Deployment>("UP-TO-DATE", ({ status }) => status?.updatedReplicas ?? 0),
    column<Deployment>("AVAILABLE", ({ status }) => status?.availableReplicas ?? 0),
    age,
  ],
  Pod: [
    column<Pod>("READY", ({ status }) => `${status?.containerStatuses[0]?.ready ? 1 : 0}/1`),
    column<Pod>("STATUS", podState),
    column<Pod>("RESTARTS", ({ status }) => status?.containerStatuses[0]?.restartCount ?? 0),
    age,
    { ...column<Pod>("PROCESS", ({ status }) => status?.containerStatuses[0]?.containerID ?? ""), wide: true },
  ],
  Secret: [column<KubeObject & { type?: string }>("TYPE", ({ type = "Opaque" }) => type), column("DATA", count), age],
  ConfigMap: [column("DATA", count), age],
  Event: [
    column<CountedEvent>("LAST SEEN", ({ series }, now) => since(series.lastObservedTime, now)),
    column<CountedEvent>("TYPE", ({ type }) => type),
    column<CountedEvent>("REASON", ({ reason }) => reason),
    column<CountedEvent>("OBJECT", ({ regarding }) => `${regarding.kind.toLowerCase()}/${regarding.name}`),
    column<CountedEvent>("COUNT", ({ series }) => series.count),
    column<CountedEvent>("MESSAGE", ({ note }) => note),
  ],
};

function podState({ metadata, status }: Pod): string {
  if (metadata.deletionTimestamp !== undefined) return "Terminating";
  const state = status?.containerStatuses[0]?.state;
  if (state === undefined) return "Pending";
  return "waiting" in state ? state.waiting.reason : "Running";
}

/** `5s`, `3m20s`, `4h`, `12d`: kubectl's short duration since a time; `<unknown>` for none. */
export function since(time: string, now: number): string {
  const seconds = Math.max(0, Math.floor((now - Date.parse(time)) / 1_000));
  if (Number.isNaN(seconds)) return "<unknown>";
  const [minutes, hours, days] = [Math.floor(seconds / 60), Math.floor(seconds / 3_600), Math.floor(seconds / 86_400)];
  if (seconds < 120) return `${seconds}s`;
  if (minutes < 10) return `${minutes}m${seconds % 60 > 0 ? `${seconds % 60}s` : ""}`;
  if (hours < 3) return `${minutes}m`;
  if (hours < 48) return `${hours}h`;
  return `${days}d`;
}
