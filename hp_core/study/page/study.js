// The page: introduction, one item at a time, review, thanks.
(() => {
  'use strict'
  const $ = (selector, within = document) => within.querySelector(selector)
  const study = JSON.parse($('#study').textContent)
  const items = new Map(study.items.map((item) => [item.id, item]))
  const count = study.items.length
  let state = Store.load(study)
  let view = null // the item in view and since when, performance.now()

  const save = () => Store.save(study, state)
  const current = () => state.order[state.at]
  const rating = () => !state.submitted && state.at >= 0 && state.at < count
  const calm = matchMedia('(prefers-reduced-motion: reduce)')

  function element(name, text, attributes = {}) {
    const made = document.createElement(name)
    made.textContent = text
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value)
    return made
  }

  // Time in view

  function clock() {
    const now = performance.now()
    if (view) state.seconds[view.item] = (state.seconds[view.item] ?? 0) + (now - view.since) / 1000
    view = rating() && document.visibilityState === 'visible' ? { item: current(), since: now } : null
  }

  // Videos

  const players = Players.inStep([$('#driving'), $('#result')], ({ playing, waiting, failed }) => {
    $('#play').textContent = playing ? 'Pause' : 'Play'
    $('#play').disabled = $('#restart').disabled = failed
    status({ waiting, failed })
  }, () => {
    if (!rating() || state.watched[current()]) return
    state.watched[current()] = true
    save()
    unlock()
  })

  let trouble = { waiting: false, failed: false }
  function status(news = trouble) {
    trouble = news
    $('#state').textContent = trouble.failed ? 'These videos cannot be shown. Reload the page or try another browser.'
      : trouble.waiting ? 'Loading…' : rating() && !state.watched[current()] ? 'Watch once to answer.' : ''
  }

  function unlock() {
    for (const group of document.querySelectorAll('#questions fieldset')) group.disabled = !state.watched[current()]
    status()
  }

  // Questions

  function askAll() {
    study.questions.forEach((question, index) => {
      const group = element('fieldset', '')
      group.dataset.question = question.name
      const legend = element('legend', '')
      legend.append(element('strong', `${index + 1}. ${question.title}`), element('span', question.text))
      const scale = element('div', '', { class: 'scale' })
      for (const grade of study.grades) {
        const label = element('label', '')
        label.append(element('input', '', { type: 'radio', name: question.name, value: grade.score }))
        const face = element('span', grade.text)
        face.prepend(element('b', grade.score))
        label.append(face)
        scale.append(label)
      }
      group.append(legend, scale)
      group.addEventListener('change', (event) => answer(question.name, Number(event.target.value)))
      $('#questions').append(group)
      const line = element('li', '')
      line.append(element('strong', `${question.title}. `), question.text)
      $('.asked').append(line)
    })
  }

  function answer(question, score) {
    clock()
    const own = state.answers[current()] ??= {}
    own[question] = { score, seconds: state.seconds[current()] ?? 0 }
    save()
    progress()
  }

  function progress() {
    const done = count - Results.missing(study, state).length
    $('#rate progress').value = done / count
    const open = study.questions.some((question) => !state.answers[current()]?.[question.name])
    $('#next').classList.toggle('main', !open)
  }

  // A digit answers the question in focus, else the first open one, and goes on to the next.
  document.addEventListener('keydown', (event) => {
    const score = Number(event.key)
    if (!rating() || event.ctrlKey || event.altKey || event.metaKey || !study.grades.some((grade) => grade.score === score)) return
    const groups = [...document.querySelectorAll('#questions fieldset:enabled')]
    const open = () => groups.find((group) => !$('input:checked', group))
    const group = document.activeElement.closest('fieldset') ?? open()
    if (!group || group.disabled) return
    const choice = $(`input[value="${score}"]`, group)
    choice.checked = true
    choice.dispatchEvent(new Event('change', { bubbles: true }))
    const next = open()
    ;(next ? $('input', next) : $('#next')).focus()
    event.preventDefault()
  })

  // Pages

  function show() {
    const name = state.submitted ? 'thanks' : state.at < 0 ? 'intro' : state.at < count ? 'rate' : 'review'
    for (const page of document.querySelectorAll('main')) page.hidden = page.id !== name
    for (const example of document.querySelectorAll('.examples video')) example.pause()
    players.pause()
    ;({ intro, rate, review, thanks })[name]()
    document.title = name === 'rate' ? `${state.at + 1} of ${count} · ${study.title}` : study.title
    scrollTo(0, 0)
    $(`#${name} h1`).focus({ preventScroll: true })
  }

  function go(at) {
    clock()
    state.at = at
    clock()
    save()
    show()
  }

  // A step forward is an entry in the browser's history, so that its own back button works.
  function step(at) {
    history.pushState(at, '')
    go(at)
  }
  addEventListener('popstate', (event) => { if (!state.submitted && state.started) go(event.state ?? -1) })

  function intro() {
    $('#intro h1').textContent = study.title
    $('[data-count]').textContent = count === 1 ? 'one video' : `${count} videos`
    $('#forgetful').hidden = Store.lasts()
    $('#begin').textContent = state.started ? 'Go on' : 'Begin'
  }

  function rate() {
    const item = items.get(current())
    $('#rate h1').textContent = `Video ${state.at + 1} of ${count}`
    $('#portrait').src = item.portrait
    $('#next').textContent = state.at + 1 < count ? 'Next video' : 'Review'
    for (const input of document.querySelectorAll('#questions input')) {
      input.checked = state.answers[current()]?.[input.name]?.score === Number(input.value)
    }
    players.load([item.driving, item.result])
    if (!calm.matches) players.play()
    unlock()
    progress()
  }

  function review() {
    const missing = Results.missing(study, state)
    $('#refusal').hidden = true
    $('#tally').textContent = missing.length ? `${count - missing.length} of ${count} videos are fully answered. Still open:`
      : 'All questions are answered. Once submitted, answers cannot be changed.'
    $('.missing').replaceChildren(...missing.map(({ position, titles }) => {
      const line = element('li', ''), button = element('button', `Video ${position}`, { type: 'button' })
      button.addEventListener('click', () => step(position - 1))
      line.append(button, ` ${titles.join(', ')}`)
      return line
    }))
  }

  function submit() {
    const missing = Results.missing(study, state)
    if (missing.length) {
      const named = missing.map(({ position, titles }) => `video ${position} (${titles.join(', ')})`).join('; ')
      $('#refusal').textContent = `Not submitted: answers are missing for ${named}.`
      $('#refusal').hidden = false
      return
    }
    state.submitted = new Date().toISOString()
    save()
    show()
    Results.download(study, state)
  }

  function thanks() {
    $('.file').textContent = Results.fileName(study, state)
    $('#contact').hidden = !study.contact
    $('#contact strong').textContent = study.contact
  }

  // Beginning

  $('#begin').addEventListener('click', () => {
    state.started ??= new Date().toISOString()
    const open = Results.missing(study, state)[0]
    step(open ? open.position - 1 : count)
  })
  $('#next').addEventListener('click', () => step(state.at + 1))
  $('#back').addEventListener('click', () => step(state.at - 1))
  $('#last').addEventListener('click', () => step(count - 1))
  $('#play').addEventListener('click', players.toggle)
  $('#restart').addEventListener('click', players.restart)
  $('#submit').addEventListener('click', submit)
  $('#questions').addEventListener('submit', (event) => event.preventDefault())
  $('#download').addEventListener('click', () => Results.download(study, state))
  $('#another').addEventListener('click', () => $('#confirm').showModal())
  $('#anew').addEventListener('click', () => { state = Store.fresh(study); save(); show() })
  document.addEventListener('visibilitychange', () => { clock(); save() })
  addEventListener('pagehide', () => { clock(); save() })

  askAll()
  for (const address of study.examples) {
    const video = element('video', '', { src: address, controls: '', muted: '', playsinline: '', preload: 'metadata', loop: '' })
    video.muted = true
    $('.examples').append(video)
    $('#examples').hidden = false
  }
  history.replaceState(state.at, '')
  clock()
  show()
})()
