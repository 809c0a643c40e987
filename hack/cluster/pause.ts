import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildImage } from "../images/buildah.ts";
import { installOnce } from "../servers/cache.ts";
import { component } from "./build.ts";

/** What holds each pod's namespaces, as a docker-archive. Made once, from ten lines of Go. */
export async function pauseArchive(): Promise<string> {
  const program = await component("pause");
  const folder = await installOnce(`${program}-image`, async (temporary) => {
    copyFileSync(program, join(temporary, "pause"));
    writeFileSync(join(temporary, "Dockerfile"), 'FROM scratch\nCOPY pause /pause\nENTRYPOINT ["/pause"]\n');
    await buildImage({ context: temporary, tag: "localhost/pause:dev", archive: join(temporary, "pause.tar") });
  });
  return join(folder, "pause.tar");
}
