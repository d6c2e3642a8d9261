"""Complaints and the diagnoses that follow from them: the rule that a model can learn from the notes."""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    """One complaint with its diagnosis and department, in English and Chinese."""

    complaint: str
    diagnosis: str
    complaint_zh: str
    diagnosis_zh: str
    department: str


CASES = tuple(
    Case(*row)
    for row in (
        ("toothache", "caries", "牙痛", "龋齿", "dental"),
        ("bleeding gums", "gingivitis", "牙龈出血", "牙龈炎", "dental"),
        ("mouth sores", "aphthae", "嘴破", "口疮", "dental"),
        ("sore throat", "pharyngitis", "咽痛", "咽炎", "ent"),
        ("ear pain", "otitis", "耳痛", "中耳炎", "ent"),
        ("ringing ears", "tinnitus", "耳响", "耳鸣", "ent"),
        ("runny nose", "rhinitis", "流涕", "鼻炎", "ent"),
        ("face pressure", "sinusitis", "脸胀", "鼻窦炎", "ent"),
        ("hoarse voice", "laryngitis", "声嘶", "喉炎", "ent"),
        ("dry cough", "bronchitis", "干咳", "支气管炎", "chest"),
        ("wheezing", "asthma", "喘息", "哮喘", "chest"),
        ("cough with fever", "pneumonia", "高烧", "肺炎", "chest"),
        ("snoring", "sleep apnea", "打鼾", "鼾症", "chest"),
        ("chest tightness", "angina", "胸闷", "心绞痛", "heart"),
        ("palpitations", "arrhythmia", "心悸", "心律失常", "heart"),
        ("swollen ankles", "heart failure", "踝肿", "心衰", "heart"),
        ("heartburn", "reflux", "烧心", "反流", "digestive"),
        ("stomach pain", "gastritis", "胃痛", "胃炎", "digestive"),
        ("loose stools", "enteritis", "腹泻", "肠炎", "digestive"),
        ("hard stools", "constipation", "便干", "便秘", "digestive"),
        ("right belly pain", "appendicitis", "右下腹痛", "阑尾炎", "digestive"),
        ("yellow eyes", "hepatitis", "眼黄", "肝炎", "digestive"),
        ("burning urine", "cystitis", "尿痛", "膀胱炎", "renal"),
        ("flank pain", "kidney stone", "腰侧痛", "肾结石", "renal"),
        ("foamy urine", "nephritis", "泡沫尿", "肾炎", "renal"),
        ("itchy rash", "eczema", "皮痒", "湿疹", "skin"),
        ("hives", "urticaria", "风团", "荨麻疹", "skin"),
        ("scaly plaques", "psoriasis", "鳞屑斑块", "银屑病", "skin"),
        ("pimples", "acne", "粉刺", "痤疮", "skin"),
        ("peeling toes", "tinea", "趾间脱皮", "足癣", "skin"),
        ("red eye", "conjunctivitis", "眼红", "结膜炎", "eye"),
        ("blurred vision", "cataract", "视力差", "白内障", "eye"),
        ("eyelid lump", "chalazion", "眼皮包", "霰粒肿", "eye"),
        ("knee pain", "arthritis", "膝痛", "关节炎", "joints"),
        ("big toe pain", "gout", "拇趾痛", "痛风", "joints"),
        ("heel pain", "fasciitis", "足跟痛", "足底炎", "joints"),
        ("stiff neck", "spondylosis", "颈僵", "颈椎病", "joints"),
        ("back pain to leg", "sciatica", "腿麻", "坐骨痛", "joints"),
        ("throbbing headache", "migraine", "头跳痛", "偏头痛", "nerves"),
        ("spinning", "vertigo", "天旋地转", "眩晕症", "nerves"),
        ("numb hand", "carpal tunnel", "手麻", "腕管综合征", "nerves"),
        ("poor sleep", "insomnia", "睡眠差", "失眠", "nerves"),
        ("low mood", "depression", "情绪低", "抑郁症", "nerves"),
        ("thirst", "diabetes", "口渴", "糖尿病", "glands"),
        ("hand tremor", "hyperthyroidism", "手抖", "甲亢", "glands"),
        ("always cold", "hypothyroidism", "怕冷", "甲减", "glands"),
        ("pale skin", "anemia", "面色苍白", "贫血", "blood"),
        ("calf swelling", "thrombosis", "小腿肿胀", "血栓", "blood"),
    )
)
