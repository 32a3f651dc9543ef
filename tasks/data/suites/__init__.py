"""Suites of questions with given answers: how each is asked (library/*.yaml), and the layouts it is published in."""
