// The TypeScript SDK's client against a server: argv is the folder of node_modules, a picture, then a URL or a command.
import { pathToFileURL } from "node:url";
const [modules, picture, target, ...rest] = process.argv.slice(2);
const sdk = (file) => import(pathToFileURL(`${modules}/@modelcontextprotocol/sdk/dist/esm/client/${file}`));
const { Client } = await sdk("index.js");
const transport = target.startsWith("http")
  ? new (await sdk("streamableHttp.js")).StreamableHTTPClientTransport(new URL(target))
  : new (await sdk("stdio.js")).StdioClientTransport({ command: target, args: rest, env: { ...process.env } });
const client = new Client({ name: "test", version: "1" });
await client.connect(transport);
const tools = (await client.listTools()).tools.map((tool) => tool.name);
const opened = await client.callTool({ name: "open_image", arguments: { source: picture } });
const image = opened.structuredContent.image_id;
const found = await client.callTool({ name: "segment_concepts", arguments: { image_id: image, concepts: ["square"] } });
const masks = found.structuredContent.results[0].instances.map((mask) => mask.id);
const file = await client.readResource({ uri: `sam3://masks/${masks[0]}.png` });
const wrong = await client.callTool({ name: "look", arguments: { image_id: "img9" } });
console.log(JSON.stringify({
  tools: tools.length,
  kinds: found.content.map((block) => block.type),
  masks: masks.length,
  file: file.contents[0].mimeType,
  wrong: wrong.isError,
}));
await client.close();
