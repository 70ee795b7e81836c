// The results as a table, and what is missing from them.
const Results = (() => {
  'use strict'
  const COLUMNS = ['visitor', 'item', 'question', 'score', 'position', 'seconds', 'started']

  // [{ position, item, titles of the open questions }], in the visitor's order.
  function missing(study, state) {
    return state.order.map((item, index) => ({
      position: index + 1,
      item,
      titles: study.questions.filter((question) => !state.answers[item]?.[question.name]).map((question) => question.title),
    })).filter((entry) => entry.titles.length)
  }

  const cell = (value) => (/[",\r\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : String(value))

  function csv(study, state) {
    const rows = state.order.flatMap((item, index) => study.questions.map((question) => {
      const answer = state.answers[item][question.name]
      return [state.visitor, item, question.name, answer.score, index + 1, answer.seconds.toFixed(1), state.started]
    }))
    return [COLUMNS, ...rows].map((row) => row.map(cell).join(',') + '\r\n').join('')
  }

  const fileName = (study, state) => `answers-${study.study}-${state.visitor.slice(0, 8)}.csv`

  function download(study, state) {
    const link = document.createElement('a')
    link.href = URL.createObjectURL(new Blob([csv(study, state)], { type: 'text/csv' }))
    link.download = fileName(study, state)
    link.click()
    setTimeout(() => URL.revokeObjectURL(link.href), 60000) // a browser that asks first reads it late
  }

  return { missing, csv, fileName, download }
})()
