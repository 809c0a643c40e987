import { eventName, microTime } from "../runtime/event-name.ts";
import { AlreadyExistsError, type EventDraft, type KubeObject } from "../runtime/object-store.ts";
import type { ApiClient } from "./api-client.ts";
import { apiVersionOf, kinds, pathOf } from "./kinds.ts";

interface SeriesEvent extends KubeObject {
  readonly series?: { readonly count: number };
}

export interface RecorderOptions {
  readonly api: ApiClient;
  readonly fieldManager: string;
  readonly onError?: (error: unknown) => void;
  readonly now?: () => Date;
}

/**
 * Writes events.k8s.io/v1 events: one object per (regarding, reason, note), counted in its series. An event is told
 * beside the work and never fails it; in a namespace that is going away none can be written, which is no error.
 */
export function eventRecorder({ api, fieldManager, onError, now = () => new Date() }: RecorderOptions) {
  const count = async (path: string, name: string, time: string): Promise<void> => {
    const present = await api.request<SeriesEvent>({ method: "GET", path: `${path}/${name}` });
    const series = { count: (present.series?.count ?? 1) + 1, lastObservedTime: time };
    await api.request({
      ...{ method: "PATCH", path: `${path}/${name}`, contentType: "application/merge-patch+json" },
      body: { series },
    });
  };

  return async (event: EventDraft): Promise<void> => {
    const time = microTime(now());
    const path = pathOf("Event", event.regarding.namespace);
    const object = eventObject(event, fieldManager, time);
    try {
      await api.request({ method: "POST", path, body: object });
    } catch (error) {
      if (!(error instanceof AlreadyExistsError)) return onError?.(error);
      await count(path, object.metadata.name, time).catch((failure: unknown) => onError?.(failure));
    }
  };
}

/** The longest a note may be (k8s.io/api/events/v1). */
const NOTE_BYTES = 1_024;

function eventObject(event: EventDraft, fieldManager: string, eventTime: string) {
  const { regarding, type, reason, action, note } = event;
  const apiVersion = Object.hasOwn(kinds, regarding.kind) ? apiVersionOf(regarding.kind) : undefined;
  return {
    apiVersion: kinds.Event.apiVersion,
    kind: "Event",
    metadata: { name: eventName(event), namespace: regarding.namespace },
    eventTime,
    reportingController: `auditpipeline.io/${fieldManager}`,
    reportingInstance: (process.env["POD_NAME"] ?? fieldManager).slice(0, 128),
    regarding: { ...regarding, ...(apiVersion === undefined ? {} : { apiVersion }) },
    ...{ type, reason, action, note: shortened(note) },
  };
}

function shortened(note: string): string {
  const bytes = Buffer.from(note);
  if (bytes.length <= NOTE_BYTES) return note;
  // A character cut in half decodes as U+FFFD at the end.
  return `${bytes
    .subarray(0, NOTE_BYTES - 8)
    .toString()
    .replace(/\uFFFD$/, "")}…`;
}
