// Visitors of a study in headless Chromium, who answer everything and save their file.
//   node browser.mjs ADDRESS FILE_ADDRESS PLAN OUTPUT_FOLDER
// PLAN: JSON file, address of a result -> question -> score. Prints one JSON object: what was seen.
import { chromium } from 'playwright-core'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const [address, onDisk, planFile, out] = process.argv.slice(2)
const plan = JSON.parse(readFileSync(planFile, 'utf-8'))
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', headless: true,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-sync'],
})
const seen = { requests: [], texts: [], errors: [] }

// A visitor whose random name is `byte` over and over, so that the order is the same in every run of the test.
async function visit(options, byte) {
  const context = await browser.newContext({ acceptDownloads: true, ...options })
  if (byte !== undefined) {
    await context.addInitScript((value) => { crypto.getRandomValues = (array) => array.map((_, index) => (value * (index + 3)) % 256) }, byte)
  }
  const page = await context.newPage()
  page.setDefaultTimeout(60000)
  page.on('request', (request) => seen.requests.push(request.url()))
  page.on('pageerror', (error) => seen.errors.push(String(error)))
  return page
}

const read = async (page) => { seen.texts.push(page.url(), await page.title(), await page.content()) }
const picture = (page, name, fullPage = false) => page.screenshot({ path: join(out, `${name}.png`), fullPage })
const watched = (page) => page.locator('#questions fieldset:enabled').first().waitFor()
const scores = async (page) => plan[await page.locator('#result').getAttribute('src')]
const checked = (page) => page.evaluate(() => Object.fromEntries(
  [...document.querySelectorAll('#questions input:checked')].map((input) => [input.name, Number(input.value)])))
const state = (page) => page.evaluate(() => JSON.parse(Object.entries(localStorage).find(([name]) => name.startsWith('study:'))[1]))
const heading = (page) => page.locator('main:visible h1').innerText()

async function click(page, leaveOpen) {
  for (const [question, score] of Object.entries(await scores(page))) {
    if (question !== leaveOpen) await page.locator(`#questions input[name=${question}][value="${score}"]`).check()
  }
}

async function save(page, button, name) {
  const [download] = await Promise.all([page.waitForEvent('download'), page.locator(button).click()])
  await download.saveAs(join(out, name))
  return download.suggestedFilename()
}

// The largest distance in seconds between the two videos, and how often the result began anew, over some time.
const watchStep = (page, milliseconds) => page.evaluate(async (duration) => {
  const [driving, result] = ['driving', 'result'].map((id) => document.getElementById(id))
  let widest = 0, loops = 0, last = result.currentTime, moved = 0
  for (const end = performance.now() + duration; performance.now() < end;) {
    await new Promise((go) => setTimeout(go, 20))
    if (result.currentTime < last - 0.5) loops++
    else moved += result.currentTime - last
    last = result.currentTime
    if (!driving.seeking && !result.seeking && !driving.ended && !result.ended) {
      widest = Math.max(widest, Math.abs(driving.currentTime - result.currentTime))
    }
  }
  return { widest, loops, moved }
}, milliseconds)

// Sets the videos apart, and says whether they come together before one of them ends. From a server without ranges, as Python's, a
// browser cannot move inside a video, so there the driving video is held back.
const drift = (page, bySeeking) => page.evaluate(async (seeks) => {
  const [driving, result] = ['driving', 'result'].map((id) => document.getElementById(id))
  const gap = () => Math.abs(driving.currentTime - result.currentTime)
  const pass = (milliseconds) => new Promise((go) => setTimeout(go, milliseconds))
  while (result.currentTime > 0.2 || result.seeking || driving.seeking || result.paused || driving.paused) await pass(10)
  const begun = result.currentTime
  let apart = 0
  if (seeks) {
    driving.currentTime = 0.9
    apart = gap() // at once: the page may move it back as soon as the browser has moved it
  } else {
    driving.play = async () => {}
    driving.pause()
    while (gap() < 0.4) await pass(10)
    apart = gap()
    delete driving.play
  }
  for (;;) {
    await pass(10)
    if (driving.seeking || result.seeking) continue
    if (driving.ended || result.ended || result.currentTime < begun) return { apart, together: false } // an end brings them together too
    if (gap() < 0.1) return { apart, together: true }
  }
}, bySeeking)

async function thorough() {
  const found = {}
  const page = await visit({ viewport: { width: 1280, height: 900 }, colorScheme: 'light' }, 7)
  await page.goto(address)
  await read(page)
  await picture(page, 'intro')
  await page.locator('#begin').click()
  found.lockedBefore = await page.locator('#questions fieldset:enabled').count()
  await watched(page)
  found.step = await watchStep(page, 5000)
  found.drift = await drift(page, false)
  await page.locator('#play').click()
  found.paused = (await watchStep(page, 500)).moved
  await page.locator('#play').click()
  const first = await scores(page)
  await page.locator('h1:visible').focus()
  for (const score of Object.values(first)) await page.keyboard.press(String(score)) // each goes on to the next question
  found.byKeys = { wanted: first, got: await checked(page) }
  await read(page)
  await picture(page, 'rate-light')
  await page.keyboard.press('Enter')
  found.afterEnter = await heading(page)
  await watched(page)
  await click(page)
  await page.locator('#back').click()
  found.wentBack = { heading: await heading(page), got: await checked(page) }
  await page.goBack()
  found.browserBack = await heading(page)
  const before = { heading: await heading(page), got: await checked(page), order: (await state(page)).order }
  await page.reload()
  found.reload = { before, after: { heading: await heading(page), got: await checked(page), order: (await state(page)).order } }
  for (let at = 3; at <= Object.keys(plan).length; at++) {
    await page.locator('#next').click()
    await watched(page)
    await click(page, at === 3 ? 'temporal_smoothness' : null)
    await read(page)
  }
  await page.locator('#next').click()
  await page.locator('#submit').click()
  found.refusal = await page.locator('#refusal').innerText()
  found.stillReview = await heading(page)
  await read(page)
  await picture(page, 'review')
  await page.locator('.missing button').click()
  found.gap = await heading(page)
  await click(page)
  while ((await heading(page)).startsWith('Video')) await page.locator('#next').click()
  found.file = await save(page, '#submit', 'first.csv')
  await read(page)
  await picture(page, 'thanks')
  await page.reload()
  found.afterSubmit = await heading(page)
  await save(page, '#download', 'again.csv')
  found.visitor = (await state(page)).visitor
  found.order = (await state(page)).order
  await page.locator('#another').click()
  await page.locator('#anew').click()
  const next = await state(page)
  found.anew = { heading: await heading(page), answers: next.answers, started: next.started }
  await page.context().close()
  return found
}

async function onAPhone() {
  const found = {}
  const page = await visit({ viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, colorScheme: 'dark', hasTouch: true }, 11)
  await page.goto(address)
  await picture(page, 'phone-intro')
  await page.locator('#begin').tap()
  for (let at = 1; at <= Object.keys(plan).length; at++) {
    await watched(page)
    await click(page)
    if (at === 2) {
      await picture(page, 'phone-dark', true)
      found.overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
      found.smallest = await page.evaluate(() => Math.min(
        ...[...document.querySelectorAll('main:not([hidden]) :is(button, .scale label)')].map((each) => each.getBoundingClientRect().height)))
    }
    await page.locator('#next').tap()
  }
  await save(page, '#submit', 'second.csv')
  found.order = (await state(page)).order
  await page.context().close()
  return found
}

// How often each item is at each position over many names.
async function orders() {
  const page = await visit({})
  await page.goto(address)
  const found = await page.evaluate(() => {
    const items = ['a', 'b', 'c', 'd', 'e', 'f'], counts = items.map(() => items.map(() => 0))
    let x = 1
    const digits = () => { x = (Math.imul(x, 1664525) + 1013904223) >>> 0; return x.toString(16).padStart(8, '0') }
    for (let run = 0; run < 6000; run++) {
      const name = digits() + digits() + digits() + digits()
      Order.shuffled(items, name).forEach((item, at) => counts[items.indexOf(item)][at]++)
    }
    return { counts, names: [Order.visitor(), Order.visitor()], stable: [1, 2].map(() => Order.shuffled(items, 'f'.repeat(32)).join('')) }
  })
  await page.context().close()
  return found
}

async function fromDisk() {
  const page = await visit({})
  await page.goto(onDisk)
  await page.locator('#begin').click()
  await watched(page)
  const drifted = await drift(page, true)
  await click(page)
  const before = await checked(page)
  await page.reload()
  const found = { drift: drifted, before, after: await checked(page) }
  await page.context().close()
  return found
}

async function withoutTheResult() {
  const page = await visit({})
  await page.route('**/*.mp4', (route) => route.abort())
  await page.goto(address)
  await page.locator('#begin').click()
  await page.locator('#state', { hasText: 'cannot' }).waitFor()
  const found = { state: await page.locator('#state').innerText(), enabled: await page.locator('#questions fieldset:enabled').count() }
  await page.context().close()
  return found
}

const results = { thorough: await thorough(), phone: await onAPhone(), orders: await orders(), disk: await fromDisk(),
  broken: await withoutTheResult() }
console.log(JSON.stringify({ ...seen, ...results }))
await browser.close()
