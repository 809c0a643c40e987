import { join } from "node:path";
import { cacheFolder, installOnce } from "../servers/cache.ts";
import { run, withProgress } from "../servers/run.ts";
import { ensureGo } from "./prerequisites.ts";

/** Programs that speak to a cluster from outside: the Go package of each, and its release. */
const tools = {
  helm: { package: "helm.sh/helm/v4/cmd/helm", version: "v4.3.1" },
} as const;

/** The program, built from the module proxy the first time anybody asks for it: some minutes on two cores. */
export async function tool(name: keyof typeof tools): Promise<string> {
  const { package: path, version } = tools[name];
  const folder = join(cacheFolder(), `${name}-${version}`);
  await installOnce(folder, (temporary) => {
    ensureGo();
    return withProgress(`Building ${name} ${version}`, async () => {
      const env = { ...process.env, CGO_ENABLED: "0", GOFLAGS: "", GOWORK: "off", GOBIN: temporary };
      await run("go", ["install", "-trimpath", "-ldflags", "-s -w", `${path}@${version}`], { env });
    });
  });
  return join(folder, name);
}

if (process.argv[1] === import.meta.filename) {
  for (const name of Object.keys(tools) as (keyof typeof tools)[]) console.log(await tool(name));
}
