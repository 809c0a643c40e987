import { readFile, stat } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import type { KubeObject, ListOptions, ObjectRef, ObjectStore } from "../runtime/object-store.ts";
import { controlRecord } from "../standalone/control-socket.ts";
import { readObjects } from "../standalone/object-files.ts";
import { Failure } from "./failure.ts";

/** What the commands need of the port, on a cluster and on a standalone. */
export type Client = Pick<ObjectStore, "get" | "list" | "delete">;

/** Throws a Failure when the folder is none. */
export async function requireState(stateDir: string): Promise<string> {
  const found = await stat(stateDir).catch(() => undefined);
  if (!found?.isDirectory()) throw new Failure(`The state folder ${stateDir} does not exist; --state names it`, 2);
  return stateDir;
}

/** The running standalone of the folder; when none runs, the folder itself, for reading. */
export function clientOf(stateDir: string): Client {
  return {
    async get<T extends KubeObject>(ref: ObjectRef) {
      const answer = await viaSocket(stateDir, "GET", pathOf(ref)).catch(() => undefined);
      const found = answer === undefined ? await fromFolder(stateDir, ref) : orMissing(answer);
      return found as T | undefined;
    },
    async list<T extends KubeObject>(kind: string, { namespace, labels = {} }: ListOptions = {}) {
      const query = namespace === undefined ? "" : `?namespace=${encodeURIComponent(namespace)}`;
      const answer = await viaSocket(stateDir, "GET", `/objects/${kind}${query}`).catch(() => undefined);
      const { items, resourceVersion } =
        answer === undefined
          ? { items: await folderList(stateDir, kind, namespace), resourceVersion: "" }
          : (done(answer) as { items: KubeObject[]; resourceVersion: string });
      const wanted = Object.entries(labels);
      const labelled = ({ metadata }: KubeObject) => wanted.every(([key, value]) => metadata.labels?.[key] === value);
      return { items: items.filter(labelled) as T[], resourceVersion };
    },
    async delete(ref) {
      const answer = await viaSocket(stateDir, "DELETE", pathOf(ref)).catch(() => undefined);
      if (answer === undefined) {
        throw new Failure(`No standalone runs on ${stateDir}, so nothing would tear the resource down: start it first`);
      }
      orMissing(answer);
    },
  };
}

interface Answer {
  status: number;
  body: unknown;
}

const pathOf = ({ kind, namespace, name }: ObjectRef) =>
  `/objects/${[kind, namespace, name].map(encodeURIComponent).join("/")}`;

function done({ status, body }: Answer): unknown {
  if (status < 300) return body;
  throw new Failure((body as { message?: string }).message ?? `The standalone answered ${status}`);
}

const orMissing = (answer: Answer): unknown => (answer.status === 404 ? undefined : done(answer));

/** Rejects when nobody listens. */
async function viaSocket(stateDir: string, method: string, path: string): Promise<Answer> {
  const record = JSON.parse(await readFile(join(stateDir, controlRecord), "utf8")) as { socket: string };
  const { status, text } = await exchange(record.socket, method, path);
  return { status, body: JSON.parse(text) as unknown };
}

function exchange(socketPath: string, method: string, path: string): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, method, path, timeout: 10_000 }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }));
    });
    sent.on("timeout", () => sent.destroy(new Error("The standalone does not answer")));
    sent.on("error", reject);
    sent.end();
  });
}

async function folderList(stateDir: string, kind: string, namespace: string | undefined): Promise<KubeObject[]> {
  const objects = (await readObjects(stateDir)).map(({ object }) => object);
  const key = ({ metadata }: KubeObject) => `${metadata.namespace}/${metadata.name}`;
  return objects
    .filter((object) => object.kind === kind && (namespace ?? object.metadata.namespace) === object.metadata.namespace)
    .toSorted((a, b) => (key(a) < key(b) ? -1 : 1));
}

async function fromFolder(stateDir: string, { kind, namespace, name }: ObjectRef): Promise<KubeObject | undefined> {
  const objects = await folderList(stateDir, kind, namespace);
  return objects.find(({ metadata }) => metadata.name === name);
}
