import { PIPELINE_COLUMNS, type PrinterColumn, TOPIC_COLUMNS } from "../../crds/v1alpha1/printer-columns.ts";
import type { KubeObject } from "../runtime/object-store.ts";
import type { Deployment } from "../standalone/workload-types.ts";
import { countOf, lastSeen, type ShownEvent } from "./event-times.ts";
import { jsonPath } from "./json-path.ts";
import { type ListedPod, podState, processOf, readyContainers, restarts } from "./pod-state.ts";

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
    column<ListedPod>("READY", readyContainers),
    column<ListedPod>("STATUS", podState),
    column<ListedPod>("RESTARTS", restarts),
    age,
    { ...column<ListedPod>("IP", ({ status }) => status?.podIP ?? ""), wide: true },
    { ...column<ListedPod>("NODE", ({ spec }) => spec.nodeName ?? ""), wide: true },
    { ...column<ListedPod>("PROCESS", processOf), wide: true },
  ],
  Secret: [column<KubeObject & { type?: string }>("TYPE", ({ type = "Opaque" }) => type), column("DATA", count), age],
  ConfigMap: [column("DATA", count), age],
  Event: [
    column<ShownEvent>("LAST SEEN", (event, now) => since(lastSeen(event), now)),
    column<ShownEvent>("TYPE", ({ type = "" }) => type),
    column<ShownEvent>("REASON", ({ reason = "" }) => reason),
    column<ShownEvent>("OBJECT", ({ regarding: { kind = "", name = "" } = {} }) => `${kind.toLowerCase()}/${name}`),
    column<ShownEvent>("COUNT", countOf),
    column<ShownEvent>("MESSAGE", ({ note = "" }) => note),
  ],
};

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
