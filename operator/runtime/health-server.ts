import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Registry } from "@prometheus-io/client";

export interface HealthOptions {
  host: string;
  /** 0 takes a free one. */
  port: number;
  registry: Registry;
  /** False: the process cannot help itself and should be restarted. */
  alive(): boolean;
  ready(): boolean;
}

export interface HealthServer {
  port: number;
  close(): Promise<void>;
}

/** `/healthz`, `/readyz` and `/metrics`. */
export async function serveHealth({ host, port, registry, alive, ready }: HealthOptions): Promise<HealthServer> {
  const verdict = (response: ServerResponse, good: boolean) =>
    response.writeHead(good ? 200 : 503, { "content-type": "text/plain" }).end(good ? "ok\n" : "not ok\n");

  const server = createServer((request, response) => {
    const path = request.url?.split("?")[0];
    if (path === "/healthz") return void verdict(response, alive());
    if (path === "/readyz") return void verdict(response, alive() && ready());
    if (path !== "/metrics") return void response.writeHead(404).end();
    registry.metrics().then(
      (text) => response.writeHead(200, { "content-type": registry.contentType }).end(text),
      () => response.writeHead(500).end(),
    );
  });
  server.listen(port, host);
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, "close").catch(() => undefined);
    },
  };
}
