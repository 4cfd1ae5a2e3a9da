"""What answers to a path of Flax and to nothing else: each file stands at the path that it answers.

`ramie.foundation.doors` makes ``import ramie.linen.linear`` find ``linen/linear.py`` of this
folder. A file either gathers names, or says which module it is: `sys.modules` then holds that one.
"""
