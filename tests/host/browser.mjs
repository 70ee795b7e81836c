// ComfyUI's own frontend in headless Chromium: opens every template from the template dialog, runs the first one, opens a help page.
//   node browser.mjs ADDRESS PACK_FOLDER_NAME OUTPUT_FOLDER TEMPLATE...
// Prints one JSON object: what was found, by template.
import { chromium } from 'playwright-core'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const [address, pack, out, ...templates] = process.argv.slice(2)
const flags = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync']
const context = await chromium.launchPersistentContext(mkdtempSync(join(tmpdir(), 'browser-')), {
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', headless: true, viewport: { width: 1600, height: 1000 }, args: flags,
})
// No tutorial in front; for the pictures no map over the graph, and words at every zoom (the last two are one setting, old and new).
const settings = { 'Comfy.TutorialCompleted': true, 'Comfy.Minimap.Visible': false,
  'LiteGraph.Canvas.LowQualityRenderingZoomThreshold': 0, 'LiteGraph.Canvas.MinFontSizeForLOD': 0 }
for (const [name, value] of Object.entries(settings)) {
  await context.request.post(`${address}/api/settings/${name}`, { data: String(value), headers: { 'Content-Type': 'application/json' } })
}
const page = context.pages()[0]
const errors = []
page.on('pageerror', (error) => errors.push(String(error)))

async function open() {
  await page.goto(address, { waitUntil: 'domcontentloaded' })
  await page.waitForFunction(() => window.app?.graph && window.app.extensionManager
    && Object.keys(window.LiteGraph?.registered_node_types ?? {}).length > 100, null, { timeout: 60000 })
  await page.waitForTimeout(1500) // the last graph is restored a moment later
}

// Past the dialog's fading mask, which on a busy machine lies over it for seconds.
async function press(item) {
  await item.waitFor({ state: 'attached', timeout: 20000 })
  await item.evaluate((element) => element.click())
}

// The dialog of a person: Browse Templates, our group at the end of the list, the card.
async function pick(template) {
  await page.evaluate(() => app.extensionManager.command.execute('Comfy.BrowseTemplates'))
  await page.waitForTimeout(2500)
  const dialog = page.locator('[role="dialog"], .p-dialog').last() // a note on the canvas may name a template too
  const group = dialog.getByText(pack, { exact: true })
  const all = dialog.getByText('All Templates', { exact: true })
  await press((await group.count() ? group : all).first())
  await page.waitForTimeout(1000)
  const card = dialog.getByText(template, { exact: true }).or(dialog.getByText(template.replaceAll('-', ' '), { exact: true })).first()
  await press(card)
  await page.waitForFunction((name) => app.extensionManager.workflow?.activeWorkflow?.path?.includes(name), template, { timeout: 30000 })
  await page.waitForTimeout(1500)
}

async function state() {
  return await page.evaluate(() => ({
    nodes: app.graph._nodes.length,
    missing: app.graph._nodes.filter((node) => !(node.type in LiteGraph.registered_node_types)).map((node) => node.type),
    title: app.graph._nodes.find((node) => node.type === 'HunyuanPortraitLoad')?.title,
  }))
}

async function picture(path, type) {
  await page.keyboard.press('Escape')
  await page.evaluate(() => app.extensionManager.command.execute('Comfy.Canvas.FitView'))
  await page.waitForTimeout(900)
  await page.screenshot({ path, type, ...(type === 'jpeg' ? { quality: 80 } : {}) })
}

async function run() {
  const refused = await page.evaluate(async () => {
    window.__end = null
    for (const type of ['execution_success', 'execution_error', 'execution_interrupted']) {
      app.api.addEventListener(type, (event) => { window.__end = { type, detail: event.detail } })
    }
    await app.queuePrompt(0, 1)
    return app.lastNodeErrors && Object.keys(app.lastNodeErrors).length ? app.lastNodeErrors : null
  })
  if (refused) return { type: 'refused', detail: refused }
  await page.waitForFunction(() => window.__end, null, { timeout: 600000 })
  return await page.evaluate(() => window.__end)
}

async function help() {
  await page.evaluate(() => {
    const node = app.graph._nodes.find((item) => item.type === 'HunyuanPortraitSampler')
    app.canvas.selectNode ? app.canvas.selectNode(node) : app.canvas.select(node)
    app.canvas.centerOnNode?.(node)
  })
  await page.waitForTimeout(800)
  await page.locator('[data-testid="info-button"]').first().click({ timeout: 10000 })
  await page.waitForTimeout(1500)
  await page.screenshot({ path: join(out, 'help.png') })
  return (await page.locator('body').innerText()).includes('Denoises the whole clip')
}

const found = {}
for (const template of templates) {
  await open()
  await pick(template)
  found[template] = await state()
  await picture(join(out, `${template}.jpg`), 'jpeg')
}
await open()
await pick(templates[0])
const ran = await run()
await page.waitForTimeout(3000)
await picture(join(out, 'run.png'), 'png')
let helped = false
try { helped = await help() } catch (error) { errors.push(`help: ${error}`) }
console.log(JSON.stringify({ found, ran, helped, errors }))
await context.close()
