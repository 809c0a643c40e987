import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type ObjectRef, type ObjectStore } from "../runtime/object-store.ts";
import { writeDurably } from "./object-files.ts";

/** sun_path holds 108 bytes on Linux, 104 elsewhere. */
const longestSocketPath = 100;
export const controlRecord = "control.json";

export interface ControlOptions {
  stateDir: string;
  store: ObjectStore;
  /** The manifest file that declares the resource: it must be removed there. */
  declaredIn(ref: ObjectRef): string | undefined;
}

interface Answer {
  status: number;
  body: unknown;
}

/** Where the command line speaks to this process: HTTP and JSON over a socket that only its user can open. */
export async function serveControl(options: ControlOptions): Promise<{ close(): Promise<void> }> {
  const path = await socketPath(options.stateDir);
  const server = createServer((request, response) => {
    void answer(request, options)
      .catch((error: unknown) => ({ status: 500, body: { message: String(error) } }))
      .then(({ status, body }) => {
        response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
      });
  });
  server.listen(path);
  await once(server, "listening");
  await writeDurably(join(options.stateDir, controlRecord), JSON.stringify({ socket: path }));
  return {
    async close() {
      server.close();
      server.closeAllConnections();
      await rm(join(options.stateDir, controlRecord), { force: true });
      if (dirname(path) !== options.stateDir) await rm(dirname(path), { recursive: true, force: true });
    },
  };
}

/** In the state folder, which has mode 0700; where that path is too long, in a folder of its own with the same mode. */
async function socketPath(stateDir: string): Promise<string> {
  const near = join(stateDir, "control.sock");
  // A crash leaves the file behind; the folder's lock says that nobody listens.
  await rm(near, { force: true });
  if (Buffer.byteLength(near) <= longestSocketPath) return near;
  return join(await mkdtemp(join(tmpdir(), "audit-pipeline-")), "control.sock");
}

async function answer(request: IncomingMessage, options: ControlOptions): Promise<Answer> {
  const url = new URL(request.url ?? "/", "http://control");
  const [, root, kind = "", namespace, name] = url.pathname.split("/").map(decodeURIComponent);
  if (root !== "objects" || kind === "") return { status: 404, body: { message: `Nothing at ${url.pathname}` } };
  if (namespace === undefined || name === undefined) return list(kind, url, options.store);
  const ref = { kind, namespace, name };
  if (request.method === "DELETE") return remove(ref, options);
  const object = await options.store.get(ref);
  return object === undefined ? notFound(ref) : { status: 200, body: object };
}

async function list(kind: string, url: URL, store: ObjectStore): Promise<Answer> {
  const namespace = url.searchParams.get("namespace");
  return { status: 200, body: await store.list(kind, namespace === null ? {} : { namespace }) };
}

async function remove(ref: ObjectRef, { store, declaredIn }: ControlOptions): Promise<Answer> {
  const object = await store.get(ref);
  if (object === undefined) return notFound(ref);
  const file = declaredIn(ref);
  if (file !== undefined) {
    const message = `${ref.kind} ${ref.namespace}/${ref.name} is declared in ${file}, which would bring it back: remove it there`;
    return { status: 409, body: { message } };
  }
  await store.delete(ref, { uid: object.metadata.uid });
  return { status: 200, body: object };
}

const notFound = ({ kind, namespace, name }: ObjectRef): Answer => ({
  status: 404,
  body: { message: `${kind} ${namespace}/${name} not found` },
});
