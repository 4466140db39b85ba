"""First names that are common in several languages, in lower case: how a column of names is told.

A short list is enough: a third of a column of real names is in it, and of other texts nothing is.
"""

from __future__ import annotations

_NAMES = """
aaron abdul adam adrian ahmed aisha alan albert alejandro alex alexander alexandra ali alice alicia
alina amanda amy ana andrea andreas andrew angela ann anna anne anthony antonio arthur barbara ben
benjamin bernd betty bill bob brandon brenda brian bruno carlos carmen carol carolina caroline
catherine charles charlotte chen chloe chris christian christina christine christopher claire clara
claudia colin cynthia daniel daniela david deborah denise dennis diana diego dmitri donald donna
dorothy edward elena elias elizabeth ella ellen emily emma eric erik ernst eva evelyn fatima felix
fernando fiona florian frances francesca francesco francisco frank frederic gabriel gary george
gerald giovanni giulia grace greg gregory hannah hans harry hassan heather heidi helen helena henry
hiroshi ian ibrahim ines ingrid irene isabel isabella ivan jack jacob james jan jane janet jason
javier jean jeff jeffrey jennifer jessica jim joan joe john jonas jonathan jorge jose joseph joshua
juan judith julia julian julie jun justin karen karin karl kate katherine kathleen keith kelly ken
kenneth kevin kim klaus larry laura lauren lea leon li linda lisa louis louise luca lucas lucia luis
luisa lukas magdalena manuel marc marco margaret maria marie mario marion mark marta martin martina
mary mateo matthew matthias max megan mei melissa michael michel michelle miguel mohamed mohammed
monica nadia nancy natalia natalie nicholas nicole nina noah oliver olga olivia omar oscar pamela
patricia patrick paul paula pedro peter petra philip pierre priya rachel rafael raj ralf raymond
rebecca ricardo richard rita robert roberto roger ronald rosa roy russell ruth ryan sabine sam
samantha samuel sandra sara sarah scott sean sebastian sergei sergio sharon silvia simon sofia
sophia sophie stefan stephanie stephen steve steven stuart susan susanne svetlana sylvia takashi
teresa thomas tim timothy tom tobias tony ursula valentina vanessa vera veronica victor victoria
vincent walter wei wendy werner william wolfgang xavier yan yuki yusuf yvonne zoe
"""

FIRST_NAMES = frozenset(_NAMES.split())
